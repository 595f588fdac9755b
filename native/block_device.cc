#include "block_device.h"

#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cstddef>

namespace coldsnap {

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
