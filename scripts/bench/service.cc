#include "service.h"

#include <time.h>

#include <cstdio>

#include "wire.h"

namespace bench {
namespace {

constexpr uint64_t kMaxPage = 10000;
// Every n-th listed block differs between two snapshots.
constexpr uint64_t kChangedEvery = 100;
constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

double now() {
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// A Date header, updated once a second, because clients correct their clocks by it.
const std::string& dateHeader() {
  static time_t made = 0;
  static std::string header;
  const time_t second = time(nullptr);
  if (second != made) {
    char text[64];
    tm parts;
    gmtime_r(&second, &parts);
    strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    header = text;
    made = second;
  }
  return header;
}

std::string headFor(const char* status, const char* type, size_t length, const std::string& more = "") {
  static uint64_t served = 0;
  char id[64];
  snprintf(id, sizeof id, "bec4a000-0000-4000-8000-%012llx", static_cast<unsigned long long>(++served));
  return std::string("HTTP/1.1 ") + status + "\r\n" + dateHeader() + "Content-Type: " + type +
         "\r\nContent-Length: " + std::to_string(length) + "\r\nx-amzn-RequestId: " + id + "\r\n" + more + "\r\n";
}

Reply json(const char* status, std::string body, const std::string& more = "") {
  Reply reply;
  reply.head = headFor(status, "application/json", body.size(), more);
  reply.tail = std::move(body);
  return reply;
}

std::string checksumHeaders(std::string_view checksum) {
  return "x-amz-Checksum: " + std::string(checksum) + "\r\nx-amz-Checksum-Algorithm: SHA256\r\n";
}

std::string_view parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    if (pair.size() > name.size() && pair[name.size()] == '=' && pair.substr(0, name.size()) == name)
      return pair.substr(name.size() + 1);
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return {};
}

// 64 characters of the base64 alphabet, the length of real ones.
void appendToken(std::string& out, uint64_t block) {
  char token[64] = {'A', 'A', 'A', 'B'};
  uint64_t state = block;
  for (int at = 4; at < 64; at += 10) {
    uint64_t bits = state = mix(state);
    for (int i = 0; i < 10; i++, bits >>= 6) token[at + i] = kBase64[bits & 63];
  }
  out.append(token, sizeof token);
}

}  // namespace

bool Request::parse(std::string_view text) {
  head = text;
  const size_t methodEnd = text.find(' ');
  const size_t targetEnd = methodEnd == std::string_view::npos ? methodEnd : text.find(' ', methodEnd + 1);
  if (targetEnd == std::string_view::npos) return false;
  method = text.substr(0, methodEnd);
  const std::string_view target = text.substr(methodEnd + 1, targetEnd - methodEnd - 1);
  const size_t question = std::min(target.find('?'), target.size());
  path = target.substr(0, question);
  query = target.substr(std::min(question + 1, target.size()));
  bodyLength = numberOf(headerOf(head, "content-length"));
  return true;
}

Reply Service::answer(const Request& request, const std::string& body, const std::optional<Digest>& bodyDigest) {
  constexpr std::string_view prefix = "/snapshots/";
  if (request.path == "/" && request.method == "POST") return describe(body);
  if (request.path == "/snapshots" && request.method == "POST") return start(body);
  if (request.path.substr(0, prefix.size()) != prefix) return refuse("ResourceNotFoundException", "no such path");
  if (request.path.find("/completion/") != std::string_view::npos) return complete(request);
  if (request.path.find("/changedblocks") != std::string_view::npos) return list(request, true);
  const size_t blocks = request.path.find("/blocks", prefix.size());
  if (blocks == std::string_view::npos) return refuse("ResourceNotFoundException", "no such operation");
  const std::string_view rest = request.path.substr(blocks + 7);
  if (rest.empty()) return list(request, false);
  const uint64_t block = numberOf(rest.substr(1), UINT64_MAX);
  if (request.method == "GET") return get(request, block);
  if (request.isBlockPut()) return put(request, block, bodyDigest);
  return refuse("ValidationException", "no such method");
}

Reply Service::list(const Request& request, bool changed) {
  stats_.lists++;
  const uint64_t every = layout_.every * (changed ? kChangedEvery : 1);
  const uint64_t most = std::min(numberOf(parameter(request.query, "maxResults"), 100), kMaxPage);
  const std::string_view page = parameter(request.query, "pageToken");
  // A page token is `P` and the next index; it takes precedence over a starting index.
  const uint64_t from = page.empty() ? numberOf(parameter(request.query, "startingBlockIndex")) : numberOf(page.substr(1));
  uint64_t block = (from + every - 1) / every * every;
  std::string body;
  body.reserve(most * 200 + 200);
  body += "{\"BlockSize\":" + std::to_string(kBlockSize) + (changed ? ",\"ChangedBlocks\":[" : ",\"Blocks\":[");
  for (uint64_t count = 0; count < most && block < layout_.blocks; count++, block += every) {
    body += count == 0 ? "{\"BlockIndex\":" : ",{\"BlockIndex\":";
    body += std::to_string(block);
    if (changed) {
      body += ",\"FirstBlockToken\":\"";
      appendToken(body, block);
      body += "\",\"SecondBlockToken\":\"";
    } else {
      body += ",\"BlockToken\":\"";
    }
    appendToken(body, block);
    body += "\"}";
  }
  body += "],\"ExpiryTime\":" + std::to_string(time(nullptr) + 7 * 86400);
  if (block < layout_.blocks) body += ",\"NextToken\":\"P" + std::to_string(block) + "\"";
  body += ",\"VolumeSize\":" + std::to_string(volumeGib_) + "}";
  return json("200 OK", std::move(body));
}

void Service::noteBlockAsked() {
  if (stats_.firstBlockAt == 0) stats_.firstBlockAt = now();
}

void Service::countBlockSent() { stats_.lastBlockAt = now(); }

Reply Service::get(const Request& request, uint64_t block) {
  if (!layout_.lists(block)) return refuse("ResourceNotFoundException", "the block is not listed");
  stats_.gets++;
  noteBlockAsked();
  const std::string_view id = request.path.substr(11, request.path.find('/', 11) - 11);
  const uint64_t seed = seedOf(std::string(id));
  const unsigned body = Contents::bodyOf(seed, block, layout_.zerosPercent);
  uint8_t trailer[kTrailerSize];
  Contents::trailer(seed, block, body, trailer);
  const Digest digest = contents_.digest(body, trailer);
  Reply reply;
  reply.isBlock = true;
  reply.body = body;
  reply.head = headFor("200 OK", "application/octet-stream", kBlockSize,
                       "x-amz-Data-Length: " + std::to_string(kBlockSize) + "\r\n" +
                           checksumHeaders(base64(digest.data(), digest.size())));
  reply.tail.assign(reinterpret_cast<const char*>(contents_.body(body)) + kBulk, kTailSize - kTrailerSize);
  reply.tail.append(reinterpret_cast<const char*>(trailer), kTrailerSize);
  return reply;
}

Reply Service::put(const Request& request, uint64_t block, const std::optional<Digest>& bodyDigest) {
  if (block >= volumeBlocks_) return refuse("ValidationException", "the block is beyond the volume");
  if (request.bodyLength != kBlockSize) return refuse("ValidationException", "the data is not one block");
  stats_.puts++;
  noteBlockAsked();
  const std::string_view given = headerOf(request.head, "x-amz-checksum");
  const Digest expected = contents_.digestOf(sourceSeed_, block, layout_.zerosPercent);
  if (given != base64(expected.data(), expected.size()) || (bodyDigest && *bodyDigest != expected)) stats_.wrongPuts++;
  digests_[block] = expected;
  Reply reply = json("201 Created", "{}", checksumHeaders(given));
  reply.isBlock = true;
  return reply;
}

Reply Service::start(const std::string& body) {
  stats_.starts++;
  const size_t at = body.find("\"VolumeSize\":");
  const uint64_t gib = at == std::string::npos ? 0 : numberOf(std::string_view(body).substr(at + 13));
  if (gib == 0 || gib > 65536) return refuse("ValidationException", "the volume is not 1 to 65536 GiB");
  digests_.clear();
  volumeBlocks_ = gib * kBlocksPerGib;
  countRight_ = linearRight_ = linearGiven_ = false;
  char reply[400];
  snprintf(reply, sizeof reply,
           "{\"SnapshotId\":\"snap-%017llx\",\"OwnerId\":\"111122223333\",\"Status\":\"pending\",\"StartTime\":%lld,"
           "\"VolumeSize\":%llu,\"BlockSize\":%zu}",
           0xbe000ULL + ++snapshotsStarted_, static_cast<long long>(time(nullptr)),
           static_cast<unsigned long long>(gib), kBlockSize);
  return json("201 Created", reply);
}

Reply Service::complete(const Request& request) {
  stats_.completes++;
  const uint64_t count = digests_.size();
  std::string digests;
  for (const auto& [block, digest] : digests_)
    digests.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  Digest linear;
  require(EVP_Digest(digests.data(), digests.size(), linear.data(), nullptr, EVP_sha256(), nullptr) == 1, "cannot hash");
  countRight_ = count == layout_.listed() && numberOf(headerOf(request.head, "x-amz-ChangedBlocksCount")) == count;
  const std::string_view given = headerOf(request.head, "x-amz-Checksum");
  linearGiven_ = !given.empty();
  linearRight_ = given == base64(linear.data(), linear.size());
  return json("202 Accepted", "{\"Status\":\"completed\"}");
}

Reply Service::describe(const std::string& body) {
  if (parameter(body, "Action") != "DescribeSnapshots") return refuse("InvalidAction", "only DescribeSnapshots");
  const std::string xml =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<DescribeSnapshotsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>bench</requestId>"
      "<snapshotSet><item><snapshotId>" +
      std::string(parameter(body, "SnapshotId.1")) +
      "</snapshotId><status>completed</status><progress>100%</progress><ownerId>111122223333</ownerId><volumeSize>" +
      std::to_string(volumeGib_) + "</volumeSize><encrypted>false</encrypted></item></snapshotSet></DescribeSnapshotsResponse>";
  Reply reply;
  reply.head = headFor("200 OK", "text/xml;charset=UTF-8", xml.size());
  reply.tail = xml;
  return reply;
}

Reply Service::refuse(const char* type, const char* message) {
  stats_.refused++;
  return json("400 Bad Request", std::string("{\"message\":\"") + message + "\"}",
              std::string("x-amzn-ErrorType: ") + type + "\r\n");
}

std::string Service::takeStats() {
  char text[600];
  const auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  snprintf(text, sizeof text,
           "{\"lists\":%llu,\"gets\":%llu,\"puts\":%llu,\"starts\":%llu,\"completes\":%llu,\"refused\":%llu,"
           "\"connections\":%llu,\"wrongPuts\":%llu,\"firstBlockAt\":%.6f,\"lastBlockAt\":%.6f,"
           "\"countRight\":%s,\"linearRight\":%s,\"linearGiven\":%s}",
           number(stats_.lists), number(stats_.gets), number(stats_.puts), number(stats_.starts),
           number(stats_.completes), number(stats_.refused), number(stats_.connections), number(stats_.wrongPuts),
           stats_.firstBlockAt, stats_.lastBlockAt, countRight_ ? "true" : "false", linearRight_ ? "true" : "false",
           linearGiven_ ? "true" : "false");
  stats_ = Stats{};
  return text;
}

}  // namespace bench
