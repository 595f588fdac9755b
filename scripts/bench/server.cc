// A load server for the EBS direct APIs: one thread, epoll, HTTP/1.1 keep-alive, plain or TLS. It uses little CPU, so that
// the client is what is measured: bodies are sent with sendfile and the data of puts is discarded unread.
//
//   server [--certificate F --key F] [--volume-gib N] [--blocks N] [--every K] [--zeros-percent P] [--source SEED]
//          [--pace BYTES/S] [--delay-ms MS] [--rate BLOCKS/S] [--check-bodies 1]
//
// Prints {"port":N}, then for each line on stdin the counters since the last one. Exits at the end of stdin.
#include "server.h"

#include <netinet/tcp.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "listener.h"

namespace bench {
namespace {

constexpr uint64_t kListener = 0, kStdin = 1;

Layout layoutOf(const Arguments& arguments) {
  Layout layout;
  layout.blocks = arguments.number("blocks", arguments.number("volume-gib", 1) * kBlocksPerGib);
  layout.every = std::max(1ULL, arguments.number("every", 1));
  layout.zerosPercent = static_cast<unsigned>(arguments.number("zeros-percent", 0));
  return layout;
}

}  // namespace

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
        // A paused connection reports only that it was closed.
        if (paused || !advance(*found->second)) connections_.erase(found);
      }
    }
    runTimers();
  }
}

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
