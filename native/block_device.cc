#include "block_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace coldsnap {

namespace {

int OpenRetrying(const char* path, int flags) {
  int fd;
  do fd = open(path, flags);
  while (fd < 0 && errno == EINTR);
  return fd;
}

}  // namespace

SysError OpenExclusive(const std::string& path, const Inode& expect, int* fd) {
  // O_EXCL without O_CREAT claims a block device: EBUSY if it is mounted, used as swap, or claimed.
  const int opened = OpenRetrying(path.c_str(), O_CLOEXEC | O_NOCTTY | O_RDWR | O_EXCL);
  if (opened < 0) return SysError::Last("open");

  struct stat st;
  if (fstat(opened, &st) != 0) {
    const SysError error = SysError::Last("fstat");
    close(opened);
    return error;
  }
  if (!S_ISBLK(st.st_mode) || st.st_dev != expect.dev || st.st_ino != expect.ino || st.st_rdev != expect.rdev) {
    close(opened);
    return {0, "open", -1, "EINODECHANGED"};
  }
  *fd = opened;
  return {};
}

SysError ReadDeviceInfo(int fd, DeviceInfo* info) {
  int logical = 0;
  int read_only = 0;
  if (ioctl(fd, BLKGETSIZE64, &info->size_bytes) != 0) return SysError::Last("ioctl(BLKGETSIZE64)");
  if (ioctl(fd, BLKSSZGET, &logical) != 0) return SysError::Last("ioctl(BLKSSZGET)");
  if (ioctl(fd, BLKROGET, &read_only) != 0) return SysError::Last("ioctl(BLKROGET)");
  info->logical_block_size = static_cast<uint32_t>(logical);
  info->read_only = read_only != 0;
  return {};
}

SysError ReadLoopFile(int fd, Inode* file, bool* attached) {
  loop_info64 info = {};
  *attached = ioctl(fd, LOOP_GET_STATUS64, &info) == 0;
  if (!*attached) {
    const bool none = errno == ENXIO || errno == ENOTTY || errno == EINVAL;
    return none ? SysError{} : SysError::Last("ioctl(LOOP_GET_STATUS64)");
  }
  *file = {info.lo_device, info.lo_inode, info.lo_rdevice};
  return {};
}

SysError RereadPartitionTable(int fd, bool* done) {
  *done = ioctl(fd, BLKRRPART) == 0;
  if (*done || errno == EINVAL || errno == EBUSY || errno == ENOTTY) return {};
  return SysError::Last("ioctl(BLKRRPART)");
}

}  // namespace coldsnap
