// Block devices only: sizes, files behind them, partition tables.
#pragma once

#include <cstdint>

#include "sys_error.h"

namespace coldsnap {

struct DeviceInfo {
  uint64_t size_bytes = 0;
  uint32_t logical_block_size = 0;
  bool read_only = false;
};

struct Inode {
  uint64_t dev = 0;
  uint64_t ino = 0;
  uint64_t rdev = 0;
};

SysError ReadDeviceInfo(int fd, DeviceInfo* info);

// The file or device behind a loop device; `attached` is false when there is none, or the device is no loop device.
SysError ReadLoopFile(int fd, Inode* file, bool* attached);

// Asks the kernel to read the partition table again. `done` is false when it cannot: a partition is in use, or the
// device has no partitions.
SysError RereadPartitionTable(int fd, bool* done);

}  // namespace coldsnap
