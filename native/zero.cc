#include "zero.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "block_io.h"

namespace coldsnap {

namespace {

// Covers every logical block size in use; BLKZEROOUT and fallocate on devices need ranges aligned to it.
constexpr uint64_t kAlignment = 4096;
// Older kernels cannot interrupt a zeroing call; in steps of this size, a kill takes effect.
constexpr uint64_t kStep = uint64_t{1} << 30;

// Zero-initialised and never written: it takes no space in the binary and one shared page in memory.
constexpr size_t kZerosSize = 1 << 20;
alignas(kAlignment) uint8_t zeros[kZerosSize];

SysError WriteZeros(int fd, uint64_t offset, uint64_t length) {
  while (length > 0) {
    const size_t step = static_cast<size_t>(std::min<uint64_t>(length, kZerosSize));
    const SysError error = WriteFully(fd, zeros, step, offset);
    if (error.Failed()) return error;
    offset += step;
    length -= step;
  }
  return {};
}

// The kernel drops the page cache of the range, dirty pages included, before it zeroes the medium, so zeros come after
// anything written before through the cache.
SysError BlkZeroOut(int fd, uint64_t offset, uint64_t length) {
  uint64_t range[2] = {offset, length};
  while (ioctl(fd, BLKZEROOUT, range) != 0) {
    if (errno != EINTR) return SysError::Last("ioctl(BLKZEROOUT)");
  }
  return {};
}

SysError Fallocate(int fd, int mode, uint64_t offset, uint64_t length) {
  while (fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(length)) != 0) {
    if (errno != EINTR) return SysError::Last("fallocate");
  }
  return {};
}

SysError PunchHole(int fd, uint64_t offset, uint64_t length) {
  // A hole past the end is granted silently, and the end stays where it was; written zeros would move it, or fail.
  struct stat st;
  if (fstat(fd, &st) != 0) return SysError::Last("fstat");
  uint64_t size = static_cast<uint64_t>(st.st_size);
  if (S_ISBLK(st.st_mode)) {
    if (ioctl(fd, BLKGETSIZE64, &size) != 0) return SysError::Last("ioctl(BLKGETSIZE64)");
    if (offset + length > size) return {ENOSPC, "fallocate", -1};
  } else if (offset + length > size) {
    const SysError error = Fallocate(fd, 0, offset + length - 1, 1);
    if (error.Failed()) return error;
  }
  return Fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

SysError ZeroStep(int fd, uint64_t offset, uint64_t length, ZeroMethod method) {
  switch (method) {
    case ZeroMethod::kBlkZeroOut:
      return BlkZeroOut(fd, offset, length);
    case ZeroMethod::kZeroRange:
      return Fallocate(fd, FALLOC_FL_ZERO_RANGE, offset, length);
    case ZeroMethod::kPunchHole:
      return PunchHole(fd, offset, length);
    case ZeroMethod::kWrite:
      break;
  }
  return WriteZeros(fd, offset, length);
}

// Whether the error means that the file does not support the method, not that the method failed.
bool Unsupported(int number) {
  return number == EOPNOTSUPP || number == EINVAL || number == ENOTTY || number == EPERM || number == ENOSYS ||
         number == ENODEV || number == ESPIPE;
}

SysError ZeroAligned(int fd, uint64_t offset, uint64_t length, ZeroMethod* method) {
  while (length > 0) {
    const uint64_t step = std::min(length, kStep);
    const SysError error = ZeroStep(fd, offset, step, *method);
    if (error.Failed()) {
      if (*method == ZeroMethod::kWrite || !Unsupported(error.number)) return error;
      *method = static_cast<ZeroMethod>(static_cast<uint8_t>(*method) + 1);
      continue;
    }
    offset += step;
    length -= step;
  }
  return {};
}

}  // namespace

bool IsZero(const uint8_t* data, size_t length) {
  constexpr size_t kChunk = 256;
  size_t i = 0;
  for (; i + kChunk <= length; i += kChunk) {
    uint64_t words[kChunk / 8];
    memcpy(words, data + i, kChunk);
    uint64_t any = 0;
    for (const uint64_t word : words) any |= word;
    if (any != 0) return false;
  }
  for (; i < length; i++) {
    if (data[i] != 0) return false;
  }
  return true;
}

SysError ZeroRange(int fd, uint64_t offset, uint64_t length, ZeroMethod* method) {
  // Unaligned ends are written, so that the whole range (and later ones) can use the better method.
  const uint64_t end = offset + length;
  const uint64_t first = (offset + kAlignment - 1) / kAlignment * kAlignment;
  const uint64_t last = end / kAlignment * kAlignment;
  if (first >= last) return WriteZeros(fd, offset, length);
  SysError error = WriteZeros(fd, offset, first - offset);
  if (!error.Failed()) error = ZeroAligned(fd, first, last - first, method);
  if (!error.Failed()) error = WriteZeros(fd, last, end - last);
  return error;
}

}  // namespace coldsnap
