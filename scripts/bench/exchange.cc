// The steps of one request and its reply.
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>

#include "server.h"

namespace bench {
namespace {

constexpr size_t kMaxHead = 65536, kMaxKeptBody = 65536;

}  // namespace

ssize_t Server::readHead(Connection& c) {
  const size_t end = c.in.find("\r\n\r\n");
  if (end == std::string::npos) {
    // Small reads, so that a put's data stays in the kernel, where it is discarded without copying.
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
  // Clients do not pipeline requests, so the bytes after the head are this request's body.
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

}  // namespace bench
