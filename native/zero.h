// Zeros: finding them, and making ranges read as them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sys_error.h"

namespace coldsnap {

bool IsZero(const uint8_t* data, size_t length);

// Ways to make a range read as zeros, best first. BLKDISCARD is not among them: its result is undefined.
enum class ZeroMethod : uint8_t { kBlkZeroOut, kZeroRange, kPunchHole, kWrite };

// Makes the range read as zeros, starting with `*method` and falling back as long as the file or device does not
// support it. `*method` becomes the one that worked.
SysError ZeroRange(int fd, uint64_t offset, uint64_t length, ZeroMethod* method);

}  // namespace coldsnap
