// The load server's listening socket on the loopback interface, with optional TLS.
#pragma once

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <string>

#include "contents.h"

namespace bench {

inline SSL_CTX* serverTls(const std::string& certificate, const std::string& key) {
  SSL_CTX* tls = SSL_CTX_new(TLS_server_method());
  require(tls != nullptr && SSL_CTX_use_certificate_chain_file(tls, certificate.c_str()) == 1 &&
              SSL_CTX_use_PrivateKey_file(tls, key.c_str(), SSL_FILETYPE_PEM) == 1,
          "cannot use the certificate and key");
  SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(tls, 1);
  return tls;
}

// A socket on a free port of 127.0.0.1.
inline int listenOnLoopback(bool paced) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  require(listener >= 0, "socket");
  if (paced) {
    // A small window for paced puts, so that the client is slowed down instead of filling the kernel's buffers.
    const int window = 65536;
    require(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &window, sizeof window) == 0, "SO_RCVBUF");
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  require(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && listen(listener, 1024) == 0,
          "cannot listen");
  return listener;
}

inline int portOf(int listener) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  require(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0, "getsockname");
  return ntohs(address.sin_port);
}

}  // namespace bench
