#include "block_io.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/file.h>
#include <sys/xattr.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <vector>

namespace coldsnap {

namespace {

// Whether to repeat a call that gave EINVAL, without O_DIRECT.
bool LeaveDirectIo(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return false;
  // Another thread may have cleared it since the call was refused; the call is repeated then, too.
  return (flags & O_DIRECT) == 0 || fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

// The end of a regular file; 0 for anything whose size fstat does not know.
uint64_t RegularSize(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? static_cast<uint64_t>(st.st_size) : 0;
}

}  // namespace

SysError WriteFully(int fd, const uint8_t* data, size_t length, uint64_t offset) {
  bool may_leave_direct = true;
  size_t done = 0;
  while (done < length) {
    const ssize_t n = pwrite(fd, data + done, length - done, static_cast<off_t>(offset + done));
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (n == 0) {
      return {EIO, "pwrite", -1};  // no progress and no reason: never loop on it
    } else if (errno == EINVAL && may_leave_direct) {
      may_leave_direct = false;
      if (!LeaveDirectIo(fd)) return {EINVAL, "pwrite", -1};
    } else if (errno != EINTR) {
      return SysError::Last("pwrite");
    }
  }
  return {};
}

SysError ReadFully(int fd, uint8_t* data, size_t length, uint64_t offset, size_t* bytes_read) {
  bool may_leave_direct = true;
  size_t done = 0;
  while (done < length) {
    const ssize_t n = pread(fd, data + done, length - done, static_cast<off_t>(offset + done));
    if (n > 0) {
      done += static_cast<size_t>(n);
      // Another read at an unaligned offset would clear O_DIRECT only to find the end of the file.
      if (done % 512 != 0 && RegularSize(fd) == offset + done) break;
    } else if (n == 0) {
      break;
    } else if (errno == EINVAL && may_leave_direct) {
      may_leave_direct = false;
      if (!LeaveDirectIo(fd)) return {EINVAL, "pread", -1};
    } else if (errno != EINTR) {
      return SysError::Last("pread");
    }
  }
  if (done < length) memset(data + done, 0, length - done);
  *bytes_read = done;
  return {};
}

SysError SyncData(int fd) {
  while (fdatasync(fd) != 0) {
    if (errno != EINTR) return SysError::Last("fdatasync");
  }
  return {};
}

SysError SyncAll(int fd) {
  while (fsync(fd) != 0) {
    if (errno != EINTR) return SysError::Last("fsync");
  }
  return {};
}

SysError TryLock(int fd, bool* locked) {
  int result;
  do result = flock(fd, LOCK_EX | LOCK_NB);
  while (result != 0 && errno == EINTR);
  *locked = result == 0;
  if (result == 0 || errno == EWOULDBLOCK) return {};
  return SysError::Last("flock");
}

SysError SetAttribute(int fd, const std::string& name, const std::string& value) {
  const int result = value.empty() ? fremovexattr(fd, name.c_str())
                                   : fsetxattr(fd, name.c_str(), value.data(), value.size(), 0);
  if (result == 0 || (value.empty() && errno == ENODATA)) return {};
  return SysError::Last(value.empty() ? "fremovexattr" : "fsetxattr");
}

SysError GetAttribute(int fd, const std::string& name, std::string* value) {
  char buffer[256];
  const ssize_t length = fgetxattr(fd, name.c_str(), buffer, sizeof buffer);
  value->assign(buffer, length > 0 ? static_cast<size_t>(length) : 0);
  if (length >= 0 || errno == ENODATA || errno == ERANGE) return {};
  return SysError::Last("fgetxattr");
}

SysError CopyAccessList(int from, int to, bool* found) {
  constexpr const char* kName = "system.posix_acl_access";
  std::vector<char> list(XATTR_SIZE_MAX);
  const ssize_t length = fgetxattr(from, kName, list.data(), list.size());
  if (length < 0 && errno != ENODATA && errno != EOPNOTSUPP) return SysError::Last("fgetxattr");
  *found = length > 0;
  if (*found) {
    if (fsetxattr(to, kName, list.data(), static_cast<size_t>(length), 0) != 0) return SysError::Last("fsetxattr");
  } else if (fremovexattr(to, kName) != 0 && errno != ENODATA && errno != EOPNOTSUPP) {
    return SysError::Last("fremovexattr");
  }
  return {};
}

SysError LinkFile(int fd, const std::string& path) {
  const std::string opened = "/proc/self/fd/" + std::to_string(fd);
  if (linkat(AT_FDCWD, opened.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0) return {};
  return SysError::Last("linkat");
}

SysError NextExtent(int fd, uint64_t offset, Extent* extent, bool* found) {
  *found = false;
  const off_t start = lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (start < 0 && errno == ENXIO) return {};
  if (start < 0 && errno == EINVAL) {
    const off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0) return SysError::Last("lseek");
    *found = offset < static_cast<uint64_t>(end);
    *extent = {offset, static_cast<uint64_t>(end)};
    return {};
  }
  if (start < 0) return SysError::Last("lseek");
  const off_t end = lseek(fd, start, SEEK_HOLE);
  if (end < 0) return SysError::Last("lseek");
  *found = true;
  *extent = {static_cast<uint64_t>(start), static_cast<uint64_t>(end)};
  return {};
}

SysError DropCache(int fd, uint64_t offset, uint64_t length) {
  const int number = posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(length), POSIX_FADV_DONTNEED);
  if (number != 0) return {number, "posix_fadvise", -1};
  return {};
}

}  // namespace coldsnap
