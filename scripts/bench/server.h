// The load server's connections and event loop.
#pragma once

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "arguments.h"
#include "service.h"
#include "wire.h"

namespace bench {

constexpr uint64_t kFirstConnection = 2;
constexpr int64_t kMicros = 1000000;

inline int64_t microseconds() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Connection {
  enum class State { handshake, head, body, waiting, writing };

  Connection(uint64_t number, int fd, SSL_CTX* tls) : id(number), wire(fd, tls, Wire::Role::server) {}
  ~Connection() { EVP_MD_CTX_free(sha); }

  uint64_t id;
  Wire wire;
  State state = State::handshake;
  // The head of the request, and the bytes read after it.
  std::string in;
  Request request;
  std::string body;
  uint64_t bodyLeft = 0;
  EVP_MD_CTX* sha = nullptr;
  Reply reply;
  size_t written = 0;
  // Do not read (state body) or write (state waiting) before this time.
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
  // Prints the counters; false at the end of stdin.
  bool command();
  // Handles the connection until it would block; false once it is closed.
  bool advance(Connection& c);
  // The steps of advance(): bytes moved (> 0), kAgain (interest or timer is set) or kClosed.
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

}  // namespace bench
