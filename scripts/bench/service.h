// The load server's operations: the EBS direct APIs and DescribeSnapshots, without authentication.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "contents.h"

namespace bench {

// A request whose head is complete. The views point into the connection's buffer.
struct Request {
  std::string_view head;
  std::string_view method;
  std::string_view path;
  std::string_view query;
  uint64_t bodyLength = 0;

  // False if the request line is malformed.
  bool parse(std::string_view text);
  bool isBlockPut() const { return method == "PUT"; }
};

// Sent in this order: head, kBulk bytes of a pooled body (for a block), tail.
struct Reply {
  std::string head;
  std::optional<unsigned> body;
  std::string tail;
  // Limited by --rate.
  bool isBlock = false;
};

// The rest of a block is sent with its trailer as one TLS record.
constexpr size_t kTailSize = 16384;
constexpr size_t kBulk = kBlockSize - kTailSize;

struct Stats {
  uint64_t lists = 0, gets = 0, puts = 0, starts = 0, completes = 0, refused = 0, connections = 0;
  // Puts whose checksum is not that of the source's block, and bodies that do not have their checksum.
  uint64_t wrongPuts = 0;
  // When the first block was requested and the last block's reply was sent, in seconds since the epoch; 0 for never.
  double firstBlockAt = 0, lastBlockAt = 0;
};

class Service {
 public:
  // Uploads must have the contents of `sourceSeed`.
  Service(const Layout& layout, uint64_t volumeGib, uint64_t sourceSeed)
      : layout_(layout), volumeGib_(volumeGib), sourceSeed_(sourceSeed) {}

  const Contents& contents() const { return contents_; }
  // `body` is that of a POST; `bodyDigest` is the SHA-256 of a put's data if the server checks bodies.
  Reply answer(const Request& request, const std::string& body, const std::optional<Digest>& bodyDigest);
  void countConnection() { stats_.connections++; }
  // Called when a block's reply has been sent.
  void countBlockSent();
  // Counters since the last call, as JSON.
  std::string takeStats();

 private:
  Reply list(const Request& request);
  Reply get(const Request& request, uint64_t block);
  Reply put(const Request& request, uint64_t block, const std::optional<Digest>& bodyDigest);
  Reply start(const std::string& body);
  Reply complete(const Request& request);
  Reply describe(const std::string& body);
  Reply refuse(const char* type, const char* message);
  void noteBlockAsked();

  Contents contents_;
  Layout layout_;
  uint64_t volumeGib_;
  uint64_t sourceSeed_;
  uint64_t snapshotsStarted_ = 0;
  // Digests of the blocks that were put into the newest snapshot, in ascending order.
  std::map<uint64_t, Digest> digests_;
  uint64_t volumeBlocks_ = 0;
  // Whether count and LINEAR checksum of the newest CompleteSnapshot were right.
  bool countRight_ = false, linearRight_ = false, linearGiven_ = false;
  Stats stats_;
};

}  // namespace bench
