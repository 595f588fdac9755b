// The reference client, the floor to compare with: one thread, epoll, OpenSSL, one SHA-256 stream, O_DIRECT and fsync. It does
// what a transfer cannot do without (list, move, check, store) and nothing else: no signatures, no retries, no journal.
//
//   client download|upload --port N --snapshot ID --file F [--ca F] [--workers N] [--blocks N]
//
// --blocks: how many blocks the source of an upload has.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "arguments.h"
#include "contents.h"
#include "wire.h"

namespace bench {
namespace {

struct Block {
  uint64_t index;
  std::string token;
};

// What a signed request carries, so that as many bytes travel.
constexpr char kHeaders[] =
    "Host: 127.0.0.1\r\nx-amz-date: 20260101T000000Z\r\nauthorization: AWS4-HMAC-SHA256 "
    "Credential=AKIDEXAMPLE/20260101/us-east-1/ebs/aws4_request, SignedHeaders=host;x-amz-date, "
    "Signature=0000000000000000000000000000000000000000000000000000000000000000\r\n";

struct Connection {
  std::unique_ptr<Wire> wire;
  uint8_t* data = nullptr;
  // Index into the list of blocks.
  size_t current = 0;
  std::string request;
  size_t sent = 0, toSend = 0;
  // The reply: its head, then the bytes of its body that have come.
  std::string head;
  bool inBody = false;
  uint64_t received = 0, expected = 0;
};

class Client {
 public:
  Client(const Arguments& arguments, bool upload);
  int run();

 private:
  std::unique_ptr<Wire> connect();
  // One request and its whole reply body, waiting: for the calls around the transfer.
  std::string call(Wire& wire, const std::string& method, const std::string& path, const std::string& headers = "",
                   const std::string& body = "");
  void listBlocks(Wire& wire);
  void transfer();
  // Gives the connection its next block; false when none is left.
  bool begin(Connection& c);
  // Sends and receives until the socket has no more to give; false when all blocks are taken.
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
  require(epoll_ >= 0 && sha_ != nullptr && algorithm_ != nullptr, "cannot begin");
  const std::string ca = arguments.text("ca");
  if (ca.empty()) return;
  tls_ = SSL_CTX_new(TLS_client_method());
  require(tls_ != nullptr && SSL_CTX_load_verify_locations(tls_, ca.c_str(), nullptr) == 1, "cannot use the CA");
  SSL_CTX_set_verify(tls_, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(tls_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

std::unique_ptr<Wire> Client::connect() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port_));
  const int one = 1;
  require(fd >= 0 && ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
              setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0,
          "cannot connect");
  // The handshake still waits; everything after it does not.
  auto wire = std::make_unique<Wire>(fd, tls_, Wire::Role::client);
  if (tls_ != nullptr) require(SSL_set1_host(wire->ssl(), "localhost") == 1 && wire->handshake() == 1, "no TLS");
  require(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
  return wire;
}

std::string Client::call(Wire& wire, const std::string& method, const std::string& path, const std::string& headers,
                         const std::string& body) {
  std::string out = method + " " + path + " HTTP/1.1\r\n" + kHeaders + headers +
                    "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  std::string in;
  std::vector<char> chunk(65536);
  const auto wait = [&wire] {
    pollfd waiting{wire.fd(), static_cast<short>(wire.wants() == EPOLLOUT ? POLLOUT : POLLIN), 0};
    require(poll(&waiting, 1, 10000) > 0, "the server does not answer");
  };
  while (!out.empty()) {
    const ssize_t sent = wire.write(out.data(), out.size());
    require(sent != kClosed, "the connection broke");
    if (sent == kAgain) wait();
    else out.erase(0, static_cast<size_t>(sent));
  }
  for (;;) {
    const size_t end = in.find("\r\n\r\n");
    if (end != std::string::npos && in.size() >= end + 4 + numberOf(headerOf(in.substr(0, end), "content-length"))) {
      require(in.compare(9, 1, "2") == 0, "the server refused a call");
      return in.substr(end + 4);
    }
    const ssize_t got = wire.read(chunk.data(), chunk.size());
    require(got != kClosed, "the connection broke");
    if (got == kAgain) wait();
    else in.append(chunk.data(), static_cast<size_t>(got));
  }
}

void Client::listBlocks(Wire& wire) {
  constexpr char index[] = "\"BlockIndex\":", token[] = "\"BlockToken\":\"", next[] = "\"NextToken\":\"";
  std::string position;
  for (;;) {
    const std::string page = call(wire, "GET", "/snapshots/" + snapshot_ + "/blocks?maxResults=10000" + position);
    for (size_t at = page.find(index); at != std::string::npos; at = page.find(index, at)) {
      at += sizeof index - 1;
      const size_t from = page.find(token, at) + sizeof token - 1;
      std::string escaped;
      for (size_t i = from; page[i] != '"'; i++) {
        if (page[i] == '+') escaped += "%2B";
        else if (page[i] == '/') escaped += "%2F";
        else escaped += page[i];
      }
      blocks_.push_back({numberOf(std::string_view(page).substr(at, 20)), std::move(escaped)});
    }
    const size_t more = page.find(next);
    if (more == std::string::npos) return;
    const size_t from = more + sizeof next - 1;
    position = "&pageToken=" + page.substr(from, page.find('"', from) - from);
  }
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

// Bytes moved (> 0), kAgain or kClosed; the reply is whole when `received` has reached `expected`.
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
  require(c.head.compare(9, 2, "20") == 0, "the server refused a block");
  c.expected = numberOf(headerOf(std::string_view(c.head).substr(0, end), "content-length"));
  c.received = c.head.size() - end - 4;
  require(c.expected <= kBlockSize && c.received <= c.expected, "not a block");
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
          "a block does not have its checksum");
  require(pwrite(file_, c.data, kBlockSize, static_cast<off_t>(blocks_[c.current].index * kBlockSize)) == kBlockSize,
          "cannot write");
}

bool Client::advance(Connection& c) {
  for (;;) {
    ssize_t step;
    if (c.sent < c.request.size()) step = c.wire->write(c.request.data() + c.sent, c.request.size() - c.sent, upload_);
    else if (c.sent < c.toSend) step = c.wire->write(c.data + (c.sent - c.request.size()), c.toSend - c.sent);
    else step = receive(c);
    require(step != kClosed, "the connection broke");
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
    require(posix_memalign(&memory, 4096, kBlockSize) == 0, "no memory");
    c.data = static_cast<uint8_t*>(memory);
    c.wire = connect();
    if (!begin(c)) continue;
    active++;
    epoll_event event{};
    // Edge-triggered: every step goes on until the socket says that there is no more.
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.ptr = &c;
    require(epoll_ctl(epoll_, EPOLL_CTL_ADD, c.wire->fd(), &event) == 0, "epoll_ctl");
  }
  epoll_event events[64];
  while (active > 0) {
    const int count = epoll_wait(epoll_, events, 64, 10000);
    require(count > 0, "the server does not answer");
    for (int i = 0; i < count; i++) {
      Connection& c = *static_cast<Connection*>(events[i].data.ptr);
      if (c.sent == c.toSend && c.inBody && c.received == c.expected) continue;
      if (!advance(c)) active--;
    }
  }
  for (Connection& c : connections) free(c.data);
}

int Client::run() {
  const std::unique_ptr<Wire> control = connect();
  if (upload_) {
    const uint64_t count = arguments_.number("blocks", kBlocksPerGib);
    for (uint64_t i = 0; i < count; i++) blocks_.push_back({i, ""});
    digests_.resize(count);
    const uint64_t gib = (count + kBlocksPerGib - 1) / kBlocksPerGib;
    const std::string started = call(*control, "POST", "/snapshots", "", "{\"VolumeSize\":" + std::to_string(gib) + "}");
    const size_t id = started.find("snap-");
    require(id != std::string::npos, "no snapshot");
    snapshot_ = started.substr(id, started.find('"', id) - id);
  } else {
    listBlocks(*control);
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
