#include "calls.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "contents.h"

namespace bench {

std::unique_ptr<Wire> connectTo(int port, SSL_CTX* tls) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  const int one = 1;
  require(fd >= 0 && ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
              setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0,
          "cannot connect");
  // Only the handshake blocks.
  auto wire = std::make_unique<Wire>(fd, tls, Wire::Role::client);
  if (tls != nullptr) require(SSL_set1_host(wire->ssl(), "localhost") == 1 && wire->handshake() == 1, "the TLS handshake failed");
  require(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
  return wire;
}

std::string call(Wire& wire, const std::string& method, const std::string& path, const std::string& headers,
                 const std::string& body) {
  std::string out = method + " " + path + " HTTP/1.1\r\n" + kHeaders + headers +
                    "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  std::string in;
  std::vector<char> chunk(65536);
  const auto wait = [&wire] {
    pollfd waiting{wire.fd(), static_cast<short>(wire.wants() == EPOLLOUT ? POLLOUT : POLLIN), 0};
    require(poll(&waiting, 1, 10000) > 0, "no reply from the server");
  };
  while (!out.empty()) {
    const ssize_t sent = wire.write(out.data(), out.size());
    require(sent != kClosed, "the connection was closed");
    if (sent == kAgain) wait();
    else out.erase(0, static_cast<size_t>(sent));
  }
  for (;;) {
    const size_t end = in.find("\r\n\r\n");
    if (end != std::string::npos && in.size() >= end + 4 + numberOf(headerOf(in.substr(0, end), "content-length"))) {
      require(in.compare(9, 1, "2") == 0, "the server rejected a request");
      return in.substr(end + 4);
    }
    const ssize_t got = wire.read(chunk.data(), chunk.size());
    require(got != kClosed, "the connection was closed");
    if (got == kAgain) wait();
    else in.append(chunk.data(), static_cast<size_t>(got));
  }
}

std::vector<Block> listBlocks(Wire& wire, const std::string& snapshot) {
  constexpr char index[] = "\"BlockIndex\":", token[] = "\"BlockToken\":\"", next[] = "\"NextToken\":\"";
  std::vector<Block> blocks;
  std::string position;
  for (;;) {
    const std::string page = call(wire, "GET", "/snapshots/" + snapshot + "/blocks?maxResults=10000" + position);
    for (size_t at = page.find(index); at != std::string::npos; at = page.find(index, at)) {
      at += sizeof index - 1;
      const size_t from = page.find(token, at) + sizeof token - 1;
      std::string escaped;
      for (size_t i = from; page[i] != '"'; i++) {
        if (page[i] == '+') escaped += "%2B";
        else if (page[i] == '/') escaped += "%2F";
        else escaped += page[i];
      }
      blocks.push_back({numberOf(std::string_view(page).substr(at, 20)), std::move(escaped)});
    }
    const size_t more = page.find(next);
    if (more == std::string::npos) return blocks;
    const size_t from = more + sizeof next - 1;
    position = "&pageToken=" + page.substr(from, page.find('"', from) - from);
  }
}

}  // namespace bench
