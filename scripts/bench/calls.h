// The reference client's blocking calls: connecting, and the requests before and after the transfer.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "wire.h"

namespace bench {

// Headers of the size of a signed request's.
constexpr char kHeaders[] =
    "Host: 127.0.0.1\r\nx-amz-date: 20260101T000000Z\r\nauthorization: AWS4-HMAC-SHA256 "
    "Credential=AKIDEXAMPLE/20260101/us-east-1/ebs/aws4_request, SignedHeaders=host;x-amz-date, "
    "Signature=0000000000000000000000000000000000000000000000000000000000000000\r\n";

struct Block {
  uint64_t index;
  std::string token;
};

// A non-blocking connection to the load server; `tls` may be null.
std::unique_ptr<Wire> connectTo(int port, SSL_CTX* tls);

// Sends one request, waits for the reply and returns its body.
std::string call(Wire& wire, const std::string& method, const std::string& path, const std::string& headers = "",
                 const std::string& body = "");

// All blocks of a snapshot, with URL-encoded tokens.
std::vector<Block> listBlocks(Wire& wire, const std::string& snapshot);

}  // namespace bench
