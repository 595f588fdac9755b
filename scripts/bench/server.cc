// A load server for the EBS direct APIs: one thread, epoll, HTTP/1.1 keep-alive, plain or TLS. It is made to cost little, so
// that the client is what gets measured: bodies leave by sendfile and the data of puts is dropped unread.
//
//   server [--certificate F --key F] [--volume-gib N] [--blocks N] [--every K] [--zeros-percent P] [--source SEED]
//          [--pace BYTES/S] [--delay-ms MS] [--rate BLOCKS/S] [--check-bodies 1]
//
// Prints {"port":N}. Then each line on stdin is answered with the counters since the last, and the end of stdin ends it.
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/sendfile.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <queue>
#include <unordered_map>

#include "arguments.h"
#include "listener.h"
#include "service.h"
#include "wire.h"

namespace bench {
namespace {

constexpr uint64_t kListener = 0, kStdin = 1, kFirstConnection = 2;
constexpr size_t kMaxHead = 65536, kMaxKeptBody = 65536;
constexpr int64_t kMicros = 1000000;

int64_t microseconds() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Connection {
  enum class State { handshake, head, body, waiting, writing };

  Connection(uint64_t number, int fd, SSL_CTX* tls) : id(number), wire(fd, tls, Wire::Role::server) {}
  ~Connection() { EVP_MD_CTX_free(sha); }

  uint64_t id;
  Wire wire;
  State state = State::handshake;
  // The head of the request, and what was read past it.
  std::string in;
  Request request;
  std::string body;
  uint64_t bodyLeft = 0;
  EVP_MD_CTX* sha = nullptr;
  Reply reply;
  size_t written = 0;
  // No reading (state body) or writing (state waiting) before this.
  int64_t notBefore = 0;
  uint32_t interest = EPOLLIN;
};

class Server {
 public:
  explicit Server(const Arguments& arguments);
  void run();

 private:
  using Timer = std::pair<int64_t, uint64_t>;

  void accept();
  // False when stdin has ended.
  bool command();
  // Takes the connection as far as it goes. False when it has ended.
  bool advance(Connection& c);
  // The steps of it: bytes moved (> 0), kAgain (interest or timer is set) or kClosed.
  ssize_t readHead(Connection& c);
  ssize_t readBody(Connection& c);
  ssize_t writeReply(Connection& c);
  void take(Connection& c, const char* data, size_t length);
  void answer(Connection& c);
  ssize_t pause(Connection& c, int64_t until);
  ssize_t wait(Connection& c);
  void watch(Connection& c, uint32_t interest);
  int untilTimer() const;
  void runTimers();

  Service service_;
  const uint64_t pace_, delayMicros_, rate_;
  const bool checkBodies_;
  SSL_CTX* tls_ = nullptr;
  const int listener_;
  int epoll_ = -1;
  uint64_t nextId_ = kFirstConnection;
  int64_t nextBlockAt_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<Timer>> timers_;
  std::vector<char> scratch_ = std::vector<char>(1 << 17);
};

Layout layoutOf(const Arguments& arguments) {
  Layout layout;
  layout.blocks = arguments.number("blocks", arguments.number("volume-gib", 1) * kBlocksPerGib);
  layout.every = std::max(1ULL, arguments.number("every", 1));
  layout.zerosPercent = static_cast<unsigned>(arguments.number("zeros-percent", 0));
  return layout;
}

Server::Server(const Arguments& arguments)
    : service_(layoutOf(arguments), arguments.number("volume-gib", 1), arguments.number("source", 1)),
      pace_(arguments.number("pace", 0)),
      delayMicros_(arguments.number("delay-ms", 0) * 1000),
      rate_(arguments.number("rate", 0)),
      checkBodies_(arguments.number("check-bodies", 0) != 0),
      listener_(listenOnLoopback(pace_ != 0)) {
  const std::string certificate = arguments.text("certificate");
  if (!certificate.empty()) tls_ = serverTls(certificate, arguments.text("key"));
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kListener;
  require(epoll_ >= 0 && epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) == 0, "epoll");
  event.data.u64 = kStdin;
  require(epoll_ctl(epoll_, EPOLL_CTL_ADD, STDIN_FILENO, &event) == 0, "stdin must be a pipe");
  printf("{\"port\":%d}\n", portOf(listener_));
  fflush(stdout);
}

void Server::accept() {
  for (;;) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int one = 1;
    const uint64_t pace = pace_;
    bool good = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0;
    if (pace != 0) good = good && setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &pace, sizeof pace) == 0;
    auto connection = std::make_unique<Connection>(nextId_++, fd, tls_);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = connection->id;
    if (!good || epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) continue;
    service_.countConnection();
    connections_[connection->id] = std::move(connection);
  }
}

bool Server::command() {
  char line[256];
  const ssize_t got = read(STDIN_FILENO, line, sizeof line);
  if (got <= 0) return false;
  for (ssize_t lines = std::count(line, line + got, '\n'); lines > 0; lines--) {
    printf("%s\n", service_.takeStats().c_str());
    fflush(stdout);
  }
  return true;
}

void Server::watch(Connection& c, uint32_t interest) {
  if (c.interest == interest) return;
  c.interest = interest;
  epoll_event event{};
  event.events = interest;
  event.data.u64 = c.id;
  require(epoll_ctl(epoll_, EPOLL_CTL_MOD, c.wire.fd(), &event) == 0, "epoll_ctl");
}

ssize_t Server::wait(Connection& c) {
  watch(c, c.wire.wants());
  return kAgain;
}

ssize_t Server::pause(Connection& c, int64_t until) {
  c.notBefore = until;
  timers_.emplace(until, c.id);
  watch(c, 0);
  return kAgain;
}

ssize_t Server::readHead(Connection& c) {
  const size_t end = c.in.find("\r\n\r\n");
  if (end == std::string::npos) {
    // Little at a time, so that a put's data stays in the kernel, where it can be dropped.
    const ssize_t got = c.wire.read(scratch_.data(), 4096);
    if (got > 0) c.in.append(scratch_.data(), static_cast<size_t>(got));
    if (c.in.size() > kMaxHead) return kClosed;
    return got == kAgain ? wait(c) : got;
  }
  const std::string rest = c.in.substr(end + 4);
  c.in.resize(end + 2);
  if (!c.request.parse(c.in)) return kClosed;
  if (c.request.isBlockPut() ? c.request.bodyLength > kBlockSize : c.request.bodyLength > kMaxKeptBody) return kClosed;
  c.bodyLeft = c.request.bodyLength;
  c.body.clear();
  c.notBefore = 0;
  c.state = Connection::State::body;
  if (checkBodies_ && c.request.isBlockPut()) {
    if (c.sha == nullptr) c.sha = EVP_MD_CTX_new();
    require(c.sha != nullptr && EVP_DigestInit_ex(c.sha, EVP_sha256(), nullptr) == 1, "cannot hash");
  }
  if (!headerOf(c.in, "expect").empty()) {
    constexpr char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (c.wire.write(go, sizeof go - 1) != sizeof go - 1) return kClosed;
  }
  // Clients wait for the reply before the next request, so what came along is this request's.
  if (rest.size() > c.bodyLeft) return kClosed;
  take(c, rest.data(), rest.size());
  return 1;
}

void Server::take(Connection& c, const char* data, size_t length) {
  c.bodyLeft -= length;
  if (!c.request.isBlockPut()) c.body.append(data, length);
  else if (checkBodies_) require(EVP_DigestUpdate(c.sha, data, length) == 1, "cannot hash");
}

ssize_t Server::readBody(Connection& c) {
  if (c.bodyLeft == 0) {
    answer(c);
    return 1;
  }
  const int64_t now = microseconds();
  if (now < c.notBefore) return pause(c, c.notBefore);
  const size_t most = std::min<uint64_t>(c.bodyLeft, pace_ != 0 ? 32768 : scratch_.size());
  const bool drop = c.wire.ssl() == nullptr && c.request.isBlockPut() && !checkBodies_;
  const ssize_t got = drop ? c.wire.ofSystem(recv(c.wire.fd(), scratch_.data(), most, MSG_TRUNC), EPOLLIN)
                           : c.wire.read(scratch_.data(), most);
  if (got <= 0) return got == kAgain ? wait(c) : got;
  take(c, scratch_.data(), static_cast<size_t>(got));
  if (pace_ != 0) c.notBefore = std::max(now, c.notBefore) + got * kMicros / static_cast<int64_t>(pace_);
  return got;
}

void Server::answer(Connection& c) {
  std::optional<Digest> digest;
  if (checkBodies_ && c.request.isBlockPut()) {
    digest.emplace();
    require(EVP_DigestFinal_ex(c.sha, digest->data(), nullptr) == 1, "cannot hash");
  }
  c.reply = service_.answer(c.request, c.body, digest);
  c.in.clear();
  c.written = 0;
  const int64_t now = microseconds();
  c.notBefore = now + static_cast<int64_t>(delayMicros_);
  if (rate_ != 0 && c.reply.isBlock) {
    nextBlockAt_ = std::max(nextBlockAt_, now) + kMicros / static_cast<int64_t>(rate_);
    c.notBefore = std::max(c.notBefore, nextBlockAt_);
  }
  c.state = Connection::State::waiting;
}

ssize_t Server::writeReply(Connection& c) {
  const size_t headEnd = c.reply.head.size();
  const size_t bodyEnd = headEnd + (c.reply.body ? kBulk : 0);
  const size_t end = bodyEnd + c.reply.tail.size();
  if (c.written == end) {
    if (c.reply.isBlock) service_.countBlockSent();
    c.state = Connection::State::head;
    return 1;
  }
  ssize_t sent;
  if (c.written < headEnd) {
    sent = c.wire.write(c.reply.head.data() + c.written, headEnd - c.written, true);
  } else if (c.written < bodyEnd) {
    const size_t at = c.written - headEnd;
    off_t offset = static_cast<off_t>(*c.reply.body * kBlockSize + at);
    sent = c.wire.ssl() == nullptr
               ? c.wire.ofSystem(sendfile(c.wire.fd(), service_.contents().fd(), &offset, kBulk - at), EPOLLOUT)
               : c.wire.write(service_.contents().body(*c.reply.body) + at, kBulk - at);
  } else {
    sent = c.wire.write(c.reply.tail.data() + (c.written - bodyEnd), end - c.written);
  }
  if (sent <= 0) return sent == kAgain ? wait(c) : sent;
  c.written += static_cast<size_t>(sent);
  return sent;
}

bool Server::advance(Connection& c) {
  ssize_t step = 1;
  while (step > 0) {
    switch (c.state) {
      case Connection::State::handshake:
        step = c.wire.handshake();
        if (step > 0) c.state = Connection::State::head;
        if (step == kAgain) wait(c);
        break;
      case Connection::State::head:
        step = readHead(c);
        break;
      case Connection::State::body:
        step = readBody(c);
        break;
      case Connection::State::waiting:
        if (microseconds() < c.notBefore) step = pause(c, c.notBefore);
        else c.state = Connection::State::writing;
        break;
      case Connection::State::writing:
        step = writeReply(c);
        break;
    }
  }
  return step == kAgain;
}

int Server::untilTimer() const {
  if (timers_.empty()) return -1;
  return static_cast<int>(std::max<int64_t>(0, (timers_.top().first - microseconds() + 999) / 1000));
}

void Server::runTimers() {
  const int64_t now = microseconds();
  while (!timers_.empty() && timers_.top().first <= now) {
    const auto found = connections_.find(timers_.top().second);
    timers_.pop();
    if (found != connections_.end() && !advance(*found->second)) connections_.erase(found);
  }
}

void Server::run() {
  epoll_event events[256];
  for (;;) {
    const int count = epoll_wait(epoll_, events, 256, untilTimer());
    require(count >= 0 || errno == EINTR, "epoll_wait");
    for (int i = 0; i < count; i++) {
      const uint64_t id = events[i].data.u64;
      if (id == kListener) {
        accept();
      } else if (id == kStdin) {
        if (!command()) return;
      } else {
        const auto found = connections_.find(id);
        if (found == connections_.end()) continue;
        const bool paused = found->second->interest == 0;
        // A paused connection reports only its end.
        if (paused || !advance(*found->second)) connections_.erase(found);
      }
    }
    runTimers();
  }
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  try {
    bench::Server(bench::Arguments(argc, argv, 1)).run();
    return 0;
  } catch (const std::exception& error) {
    fprintf(stderr, "server: %s\n", error.what());
    return 1;
  }
}
