#include "block_device.h"

#include <fcntl.h>
#include <linux/fs.h>
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

SysError OpenExclusive(const std::string& path, bool write, bool direct, const Inode& expect, int* fd) {
  // O_EXCL without O_CREAT claims a block device: mounted, swapped on, or held by another claim gives EBUSY.
  const int flags = O_CLOEXEC | O_NOCTTY | (write ? O_RDWR | O_EXCL : O_RDONLY);
  int opened = OpenRetrying(path.c_str(), direct ? flags | O_DIRECT : flags);
  if (opened < 0 && direct && errno == EINVAL) opened = OpenRetrying(path.c_str(), flags);
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

SysError ReadDeviceFacts(int fd, DeviceInfo* facts) {
  int logical = 0;
  unsigned int physical = 0;
  int read_only = 0;
  if (ioctl(fd, BLKGETSIZE64, &facts->size_bytes) != 0) return SysError::Last("ioctl(BLKGETSIZE64)");
  if (ioctl(fd, BLKSSZGET, &logical) != 0) return SysError::Last("ioctl(BLKSSZGET)");
  if (ioctl(fd, BLKPBSZGET, &physical) != 0) return SysError::Last("ioctl(BLKPBSZGET)");
  if (ioctl(fd, BLKROGET, &read_only) != 0) return SysError::Last("ioctl(BLKROGET)");
  facts->logical_block_size = static_cast<uint32_t>(logical);
  facts->physical_block_size = physical;
  facts->read_only = read_only != 0;
  return {};
}

SysError RereadPartitionTable(int fd, bool* done) {
  *done = ioctl(fd, BLKRRPART) == 0;
  if (*done || errno == EINVAL || errno == EBUSY || errno == ENOTTY) return {};
  return SysError::Last("ioctl(BLKRRPART)");
}

}  // namespace coldsnap
