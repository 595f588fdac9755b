// A non-blocking TCP connection with optional TLS, and the HTTP parsing that client and server share.
#pragma once

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace bench {

constexpr ssize_t kAgain = -1;
constexpr ssize_t kClosed = -2;

class Wire {
 public:
  enum class Role { client, server };

  // Takes ownership of `fd`; `tls` may be null.
  Wire(int fd, SSL_CTX* tls, Role role) : fd_(fd) {
    if (tls == nullptr) return;
    ssl_ = SSL_new(tls);
    if (ssl_ == nullptr || SSL_set_fd(ssl_, fd) != 1) return;
    if (role == Role::server) SSL_set_accept_state(ssl_);
    else SSL_set_connect_state(ssl_);
  }
  ~Wire() {
    SSL_free(ssl_);
    close(fd_);
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  int fd() const { return fd_; }
  SSL* ssl() const { return ssl_; }
  // The event to wait for after a call has returned kAgain.
  uint32_t wants() const { return wants_; }

  // 1 when done, else kAgain or kClosed.
  ssize_t handshake() { return ssl_ == nullptr ? 1 : ofTls(SSL_do_handshake(ssl_)); }

  // Bytes moved (> 0), kAgain or kClosed.
  ssize_t read(void* data, size_t length) {
    if (ssl_ != nullptr) return ofTls(SSL_read(ssl_, data, static_cast<int>(length)));
    return ofSystem(recv(fd_, data, length, 0), EPOLLIN);
  }
  ssize_t write(const void* data, size_t length, bool more = false) {
    if (ssl_ != nullptr) return ofTls(SSL_write(ssl_, data, static_cast<int>(length)));
    return ofSystem(send(fd_, data, length, MSG_NOSIGNAL | (more ? MSG_MORE : 0)), EPOLLOUT);
  }

  // Converts the result of a system call on fd(), as read() and write() do.
  ssize_t ofSystem(ssize_t result, uint32_t wants) {
    if (result > 0) return result;
    if (result < 0 && (errno == EAGAIN || errno == EINTR)) {
      wants_ = wants;
      return kAgain;
    }
    return kClosed;
  }

 private:
  ssize_t ofTls(int result) {
    if (result > 0) return result;
    const int error = SSL_get_error(ssl_, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
      wants_ = error == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT;
      return kAgain;
    }
    // The queue is per thread; an error that stayed in it would be attributed to the next connection.
    ERR_clear_error();
    return kClosed;
  }

  int fd_;
  SSL* ssl_ = nullptr;
  uint32_t wants_ = EPOLLIN;
};

// The value of a header in a message head (case-insensitive), empty if it is missing.
inline std::string_view headerOf(std::string_view head, std::string_view name) {
  size_t line = head.find("\r\n");
  while (line != std::string_view::npos && line + 2 < head.size()) {
    line += 2;
    size_t end = head.find("\r\n", line);
    if (end == std::string_view::npos) end = head.size();
    if (end - line > name.size() && head[line + name.size()] == ':' &&
        strncasecmp(head.data() + line, name.data(), name.size()) == 0) {
      size_t value = line + name.size() + 1;
      while (value < end && head[value] == ' ') value++;
      return head.substr(value, end - value);
    }
    line = end;
  }
  return {};
}

inline uint64_t numberOf(std::string_view digits, uint64_t missing = 0) {
  if (digits.empty()) return missing;
  uint64_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') break;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

inline std::string base64(const uint8_t* data, size_t length) {
  std::string text((length + 2) / 3 * 4 + 1, '\0');
  text.resize(static_cast<size_t>(
      EVP_EncodeBlock(reinterpret_cast<uint8_t*>(&text[0]), data, static_cast<int>(length))));
  return text;
}

}  // namespace bench
