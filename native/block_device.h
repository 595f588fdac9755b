// What only block devices have: sizes, exclusive opening, partition tables.
#pragma once

#include <cstdint>
#include <string>

#include "sys_error.h"

namespace coldsnap {

struct DeviceInfo {
  uint64_t size_bytes = 0;
  uint32_t logical_block_size = 0;
  uint32_t physical_block_size = 0;
  bool read_only = false;
};

struct Inode {
  uint64_t dev = 0;
  uint64_t ino = 0;
  uint64_t rdev = 0;
};

// Opens a block device; with `write` for reading and writing and exclusively (EBUSY when it is in use). The opened inode must
// be `expect` and a block device, else the error has the code EINODECHANGED and nothing stays open.
SysError OpenExclusive(const std::string& path, bool write, bool direct, const Inode& expect, int* fd);

SysError ReadDeviceFacts(int fd, DeviceInfo* facts);

// Asks the kernel to read the partition table again. `done` is false when it cannot now (in use) or never (not partitionable).
SysError RereadPartitionTable(int fd, bool* done);

}  // namespace coldsnap
