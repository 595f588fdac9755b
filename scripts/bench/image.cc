// Writes and checks the contents of the bench's snapshots in a file or on a block device.
//
//   image write FILE  --snapshot ID [--blocks N] [--every K] [--zeros-percent P]
//   image check FILE  the same, with [--volume-gib N]; prints {"wrong":N,"first":BLOCK}, exits 1 unless N is 0
//   image cached FILE prints the number of bytes of it in the page cache
//
// A check bypasses the cache if possible and does not read the holes of sparse files.
#include <fcntl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstdio>
#include <cinttypes>

#include "arguments.h"
#include "contents.h"

namespace bench {
namespace {

class Image {
 public:
  Image(const char* path, int flags) : fd_(open(path, flags | O_DIRECT | O_CLOEXEC)) {
    if (fd_ < 0 && errno == EINVAL) fd_ = open(path, flags | O_CLOEXEC);
    require(fd_ >= 0, "cannot open the image");
    require(posix_memalign(&buffer_, 4096, kBlockSize) == 0, "no memory");
  }
  ~Image() {
    free(buffer_);
    close(fd_);
  }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  int fd() const { return fd_; }
  uint8_t* buffer() { return static_cast<uint8_t*>(buffer_); }

  void write(uint64_t block) {
    require(pwrite(fd_, buffer_, kBlockSize, offset(block)) == static_cast<ssize_t>(kBlockSize), "cannot write the image");
  }
  // False if the image ends before the block does.
  bool read(uint64_t block) {
    const ssize_t got = pread(fd_, buffer_, kBlockSize, offset(block));
    require(got >= 0, "cannot read the image");
    return got == static_cast<ssize_t>(kBlockSize);
  }
  // The next block of a sparse file, from this one, that has data; for other files the same block.
  uint64_t nextData(uint64_t block) const {
    const off_t data = lseek(fd_, offset(block), SEEK_DATA);
    if (data >= 0) return std::max(block, static_cast<uint64_t>(data) / kBlockSize);
    return errno == ENXIO ? UINT64_MAX : block;
  }

 private:
  static off_t offset(uint64_t block) { return static_cast<off_t>(block * kBlockSize); }
  int fd_;
  void* buffer_ = nullptr;
};

int writeImage(const char* path, const Layout& layout, uint64_t seed) {
  Contents contents;
  Image image(path, O_WRONLY | O_CREAT);
  for (uint64_t block = 0; block < layout.blocks; block++) {
    const unsigned body = layout.lists(block) ? Contents::bodyOf(seed, block, layout.zerosPercent) : kBodies;
    std::memcpy(image.buffer(), contents.body(body), kBodySize);
    Contents::trailer(seed, block, body, image.buffer() + kBodySize);
    image.write(block);
  }
  require(fsync(image.fd()) == 0, "cannot sync the image");
  return 0;
}

int checkImage(const char* path, const Layout& layout, uint64_t seed, uint64_t volumeBlocks) {
  Contents contents;
  Image image(path, O_RDONLY);
  uint64_t wrong = 0, first = 0;
  const auto check = [&](uint64_t block, unsigned body) {
    uint8_t trailer[kTrailerSize];
    Contents::trailer(seed, block, body, trailer);
    if (image.read(block) && std::memcmp(image.buffer(), contents.body(body), kBodySize) == 0 &&
        std::memcmp(image.buffer() + kBodySize, trailer, kTrailerSize) == 0)
      return;
    if (wrong++ == 0) first = block;
  };
  for (uint64_t block = 0; block < layout.blocks; block += layout.every)
    check(block, Contents::bodyOf(seed, block, layout.zerosPercent));
  for (uint64_t block = image.nextData(0); block < volumeBlocks; block = image.nextData(block + 1))
    if (!layout.lists(block)) check(block, kBodies);
  printf("{\"wrong\":%" PRIu64 ",\"first\":%" PRIu64 "}\n", wrong, first);
  return wrong == 0 ? 0 : 1;
}

// cachestat(2), Linux 6.5: unlike mincore it needs no mapping and works for block devices.
struct CacheRange {
  uint64_t offset, length;
};
struct CacheStat {
  uint64_t cached, dirty, writeback, evicted, recentlyEvicted;
};
constexpr long kCachestat = 451;

int printCached(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  require(fd >= 0, "cannot open the image");
  const CacheRange whole{0, 0};
  CacheStat stat{};
  require(syscall(kCachestat, fd, &whole, &stat, 0) == 0, "this kernel has no cachestat (Linux 6.5)");
  close(fd);
  printf("%" PRIu64 "\n", stat.cached * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  return 0;
}

int run(int argc, char** argv) {
  require(argc >= 3, "usage: image write|check|cached FILE [--name value]");
  const std::string verb = argv[1];
  const Arguments arguments(argc, argv, 3);
  if (verb == "cached") return printCached(argv[2]);
  Layout layout;
  const uint64_t volumeBlocks = arguments.number("volume-gib", 1) * kBlocksPerGib;
  layout.blocks = arguments.number("blocks", volumeBlocks);
  layout.every = std::max(1ULL, arguments.number("every", 1));
  layout.zerosPercent = static_cast<unsigned>(arguments.number("zeros-percent", 0));
  const uint64_t seed = seedOf(arguments.text("snapshot"));
  if (verb == "write") return writeImage(argv[2], layout, seed);
  require(verb == "check", "usage: image write|check|cached FILE [--name value]");
  return checkImage(argv[2], layout, seed, volumeBlocks);
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    return bench::run(argc, argv);
  } catch (const std::exception& error) {
    perror("image");
    fprintf(stderr, "image: %s\n", error.what());
    return 2;
  }
}
