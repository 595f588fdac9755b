// The outcome of something that makes system calls.
#pragma once

#include <cerrno>
#include <cstdint>

namespace coldsnap {

// A failed system call, or none. Plain data, so that it can cross from a pool thread to the main thread.
struct SysError {
  int number = 0;              // errno, 0 for success
  const char* call = nullptr;  // for example "pwrite" or "ioctl(BLKGETSIZE64)"
  int64_t offset = -1;         // byte offset in the file, -1 when it has no meaning

  bool Failed() const { return number != 0; }
  static SysError Last(const char* call) { return {errno, call, -1}; }
};

}  // namespace coldsnap
