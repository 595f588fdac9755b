// Positioned reading and writing that finishes, syncing, extents, locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "sys_error.h"

namespace coldsnap {

// Writes all of it or fails; continues after short counts and EINTR. When direct I/O refuses (EINVAL: unaligned tail or
// buffer, odd file system), clears O_DIRECT on the descriptor and repeats the write.
SysError WriteFully(int fd, const uint8_t* data, size_t length, uint64_t offset);

// Reads until `length` bytes or the end of the file, and zero-fills the rest of `data`.
SysError ReadFully(int fd, uint8_t* data, size_t length, uint64_t offset, size_t* bytes_read);

SysError SyncData(int fd);
SysError SyncAll(int fd);

// Takes an exclusive lock on the open file without waiting; `locked` is false when another open file holds one.
SysError TryLock(int fd, bool* locked);

// Sets an extended attribute of the open file; an empty value removes it, which may be gone already.
SysError SetAttribute(int fd, const std::string& name, const std::string& value);

// Reads one; `value` is empty where there is none, and where it is longer than any that SetAttribute gets.
SysError GetAttribute(int fd, const std::string& name, std::string* value);

// Gives the file `to` the access control list of `from`, with the permissions that the list stands for; `found` is false where
// `from` has none, and then `to` has none either.
SysError CopyAccessList(int from, int to, bool* found);

// Gives a name to an open file that has none (O_TMPFILE). Fails with EEXIST if the name is taken.
SysError LinkFile(int fd, const std::string& path);

struct Extent {
  uint64_t start = 0;
  uint64_t end = 0;
};

// The next run of data at or after `offset`; `found` is false when only a hole or nothing follows. Files that do not know
// their holes (block devices, some file systems) are one extent.
SysError NextExtent(int fd, uint64_t offset, Extent* extent, bool* found);

// Drops the clean cached pages of a range (length 0: to the end), so that the next read comes from the medium.
SysError DropCache(int fd, uint64_t offset, uint64_t length);

}  // namespace coldsnap
