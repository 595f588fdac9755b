// The reference client, a lower bound for comparison: one thread, epoll, OpenSSL, one SHA-256 stream, O_DIRECT and fsync. It
// only lists, moves, checks and stores blocks: no signatures, no retries, no journal.
//
//   client download|upload --port N --snapshot ID --file F [--ca F] [--workers N] [--blocks N]
//
// --blocks: the number of blocks in the source of an upload.
#include <fcntl.h>
#include <signal.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "arguments.h"
#include "calls.h"
#include "contents.h"
#include "wire.h"

namespace bench {
namespace {

struct Connection {
  std::unique_ptr<Wire> wire;
  uint8_t* data = nullptr;
  // Index into the list of blocks.
  size_t current = 0;
  std::string request;
  size_t sent = 0, toSend = 0;
  // The reply: its head, then the bytes of its body received.
  std::string head;
  bool inBody = false;
  uint64_t received = 0, expected = 0;
};

class Client {
 public:
  Client(const Arguments& arguments, bool upload);
  int run();

 private:
  void transfer();
  // Assigns the connection its next block; false if there is none.
  bool begin(Connection& c);
  // Sends and receives until the socket would block; false once all blocks are assigned.
  bool advance(Connection& c);
  ssize_t receive(Connection& c);
  void finish(Connection& c);
  Digest hash(const uint8_t* data, size_t length);

  Arguments arguments_;
  const bool upload_;
  const int port_;
  std::string snapshot_;
  SSL_CTX* tls_ = nullptr;
  int file_, epoll_;
  std::vector<Block> blocks_;
  std::vector<Digest> digests_;
  size_t next_ = 0, finished_ = 0;
  EVP_MD_CTX* sha_ = EVP_MD_CTX_new();
  EVP_MD* algorithm_ = EVP_MD_fetch(nullptr, "SHA256", nullptr);
};

Client::Client(const Arguments& arguments, bool upload)
    : arguments_(arguments),
      upload_(upload),
      port_(static_cast<int>(arguments.number("port", 0))),
      snapshot_(arguments.text("snapshot")),
      file_(open(arguments.text("file").c_str(), (upload ? O_RDONLY : O_RDWR | O_CREAT) | O_DIRECT | O_CLOEXEC, 0600)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  require(file_ >= 0, "cannot open the file");
  require(epoll_ >= 0 && sha_ != nullptr && algorithm_ != nullptr, "cannot initialize");
  const std::string ca = arguments.text("ca");
  if (ca.empty()) return;
  tls_ = SSL_CTX_new(TLS_client_method());
  require(tls_ != nullptr && SSL_CTX_load_verify_locations(tls_, ca.c_str(), nullptr) == 1, "cannot use the CA");
  SSL_CTX_set_verify(tls_, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(tls_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

Digest Client::hash(const uint8_t* data, size_t length) {
  Digest digest;
  require(EVP_DigestInit_ex(sha_, algorithm_, nullptr) == 1 && EVP_DigestUpdate(sha_, data, length) == 1 &&
              EVP_DigestFinal_ex(sha_, digest.data(), nullptr) == 1,
          "cannot hash");
  return digest;
}

bool Client::begin(Connection& c) {
  if (next_ == blocks_.size()) return false;
  c.current = next_++;
  const Block& block = blocks_[c.current];
  const std::string path = " /snapshots/" + snapshot_ + "/blocks/" + std::to_string(block.index);
  if (upload_) {
    require(pread(file_, c.data, kBlockSize, static_cast<off_t>(block.index * kBlockSize)) == kBlockSize, "cannot read");
    digests_[c.current] = hash(c.data, kBlockSize);
    c.request = "PUT" + path + " HTTP/1.1\r\n" + kHeaders + "Content-Length: " + std::to_string(kBlockSize) +
                "\r\nx-amz-Data-Length: " + std::to_string(kBlockSize) +
                "\r\nx-amz-Checksum: " + base64(digests_[c.current].data(), 32) +
                "\r\nx-amz-Checksum-Algorithm: SHA256\r\n\r\n";
  } else {
    c.request = "GET" + path + "?blockToken=" + block.token + " HTTP/1.1\r\n" + kHeaders + "\r\n";
  }
  c.sent = 0;
  c.toSend = c.request.size() + (upload_ ? kBlockSize : 0);
  c.head.clear();
  c.inBody = false;
  return true;
}

// Bytes moved (> 0), kAgain or kClosed; the reply is complete when `received` equals `expected`.
ssize_t Client::receive(Connection& c) {
  if (c.inBody) {
    const ssize_t got = c.wire->read(c.data + c.received, c.expected - c.received);
    if (got > 0) c.received += static_cast<uint64_t>(got);
    return got;
  }
  char start[1024];
  const ssize_t got = c.wire->read(start, sizeof start);
  if (got <= 0) return got;
  c.head.append(start, static_cast<size_t>(got));
  const size_t end = c.head.find("\r\n\r\n");
  if (end == std::string::npos) return got;
  require(c.head.compare(9, 2, "20") == 0, "the server rejected a block request");
  c.expected = numberOf(headerOf(std::string_view(c.head).substr(0, end), "content-length"));
  c.received = c.head.size() - end - 4;
  require(c.expected <= kBlockSize && c.received <= c.expected, "the reply is not a block");
  std::memcpy(c.data, c.head.data() + end + 4, c.received);
  c.head.resize(end);
  c.inBody = true;
  return got;
}

void Client::finish(Connection& c) {
  finished_++;
  if (upload_) return;
  const Digest digest = hash(c.data, c.received);
  require(c.received == kBlockSize && headerOf(c.head, "x-amz-checksum") == base64(digest.data(), digest.size()),
          "a block has a wrong checksum");
  require(pwrite(file_, c.data, kBlockSize, static_cast<off_t>(blocks_[c.current].index * kBlockSize)) == kBlockSize,
          "cannot write");
}

bool Client::advance(Connection& c) {
  for (;;) {
    ssize_t step;
    if (c.sent < c.request.size()) step = c.wire->write(c.request.data() + c.sent, c.request.size() - c.sent, upload_);
    else if (c.sent < c.toSend) step = c.wire->write(c.data + (c.sent - c.request.size()), c.toSend - c.sent);
    else step = receive(c);
    require(step != kClosed, "the connection was closed");
    if (step == kAgain) return true;
    if (c.sent < c.toSend) {
      c.sent += static_cast<size_t>(step);
    } else if (c.inBody && c.received == c.expected) {
      finish(c);
      if (!begin(c)) return false;
    }
  }
}

void Client::transfer() {
  std::vector<Connection> connections(std::min<size_t>(arguments_.number("workers", 64), blocks_.size()));
  size_t active = 0;
  for (Connection& c : connections) {
    void* memory;
    require(posix_memalign(&memory, 4096, kBlockSize) == 0, "out of memory");
    c.data = static_cast<uint8_t*>(memory);
    c.wire = connectTo(port_, tls_);
    if (!begin(c)) continue;
    active++;
    epoll_event event{};
    // Edge-triggered: advance() continues until the socket would block.
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.ptr = &c;
    require(epoll_ctl(epoll_, EPOLL_CTL_ADD, c.wire->fd(), &event) == 0, "epoll_ctl");
  }
  epoll_event events[64];
  while (active > 0) {
    const int count = epoll_wait(epoll_, events, 64, 10000);
    require(count > 0, "no reply from the server");
    for (int i = 0; i < count; i++) {
      Connection& c = *static_cast<Connection*>(events[i].data.ptr);
      if (c.sent == c.toSend && c.inBody && c.received == c.expected) continue;
      if (!advance(c)) active--;
    }
  }
  for (Connection& c : connections) free(c.data);
}

int Client::run() {
  const std::unique_ptr<Wire> control = connectTo(port_, tls_);
  if (upload_) {
    const uint64_t count = arguments_.number("blocks", kBlocksPerGib);
    for (uint64_t i = 0; i < count; i++) blocks_.push_back({i, ""});
    digests_.resize(count);
    const uint64_t gib = (count + kBlocksPerGib - 1) / kBlocksPerGib;
    const std::string started = call(*control, "POST", "/snapshots", "", "{\"VolumeSize\":" + std::to_string(gib) + "}");
    const size_t id = started.find("snap-");
    require(id != std::string::npos, "the reply has no snapshot ID");
    snapshot_ = started.substr(id, started.find('"', id) - id);
  } else {
    blocks_ = listBlocks(*control, snapshot_);
  }
  transfer();
  require(finished_ == blocks_.size(), "blocks are missing");
  if (upload_) {
    const Digest linear = hash(reinterpret_cast<const uint8_t*>(digests_.data()), digests_.size() * sizeof(Digest));
    call(*control, "POST", "/snapshots/completion/" + snapshot_,
         "x-amz-ChangedBlocksCount: " + std::to_string(blocks_.size()) + "\r\nx-amz-Checksum: " +
             base64(linear.data(), linear.size()) +
             "\r\nx-amz-Checksum-Algorithm: SHA256\r\nx-amz-Checksum-Aggregation-Method: LINEAR\r\n");
  } else {
    require(fsync(file_) == 0, "cannot sync");
  }
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  try {
    const std::string verb = argc > 1 ? argv[1] : "";
    bench::require(verb == "download" || verb == "upload", "usage: client download|upload --name value");
    return bench::Client(bench::Arguments(argc, argv, 2), verb == "upload").run();
  } catch (const std::exception& error) {
    fprintf(stderr, "client: %s\n", error.what());
    return 1;
  }
}
