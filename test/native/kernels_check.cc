// Tests what JavaScript cannot reach: kernels of another architecture (run this under qemu) and broken kernels.
//
//   kernels_check digests   prints, for each kernel, the digests of a fixed set of messages, to be compared by the caller
//   kernels_check select    exits with 0 if wrong and missing kernels are refused, and quickly
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "sha256.h"
#include "sha256_select.h"

using namespace coldsnap;

namespace {

// The bytes that `noise` in support.ts makes.
std::vector<uint8_t> Noise(size_t length, uint32_t seed) {
  std::vector<uint8_t> data(length);
  uint32_t x = static_cast<uint32_t>(uint64_t{seed} * 2654435761u);
  for (uint8_t& byte : data) {
    x = x * 1664525u + 1013904223u;
    byte = static_cast<uint8_t>(x >> 24);
  }
  if (length > 0) data[length - 1] = static_cast<uint8_t>(1 + seed % 255);
  return data;
}

void PrintDigests(const std::vector<std::vector<uint8_t>>& contents) {
  std::vector<Message> messages;
  for (const auto& content : contents) messages.push_back({content.data(), content.size()});
  for (const Digest& digest : Sha256(messages)) {
    for (const uint8_t byte : digest) printf("%02x", byte);
    printf("\n");
  }
}

int Digests() {
  for (const char* kernel : Sha256Kernels()) {
    if (!UseSha256Kernel(kernel)) return 1;
    printf("%s\n", kernel);
    std::vector<std::vector<uint8_t>> contents;
    for (uint32_t length = 0; length < 200; length++) contents.push_back(Noise(length, length));
    PrintDigests(contents);
    for (uint32_t count = 1; count <= 20; count++) {
      contents.clear();
      for (uint32_t i = 0; i < count; i++) contents.push_back(Noise(1000, i + 1));
      PrintDigests(contents);
    }
  }
  return 0;
}

bool Always() { return true; }
bool Never() { return false; }

// Right but for one bit in its last lane.
void WrongInLastLane(const Lane* lanes, size_t blocks) {
  for (int l = 0; l < 4; l++) CompressPortable(&lanes[l], blocks);
  lanes[3].chain[7] ^= 1;
}
void RightWithFour(const Lane* lanes, size_t blocks) {
  for (int l = 0; l < 4; l++) CompressPortable(&lanes[l], blocks);
}
// Right for one block, as a kernel that forgets to go on in the data would be.
void OnlyFirstBlock(const Lane* lanes, size_t blocks) {
  for (; blocks > 0; blocks--) CompressPortable(lanes, 1);
}
void DoesNothing(const Lane*, size_t) {}
void Crashes(const Lane*, size_t) { abort(); }

constexpr Width kRight[] = {{4, 2, RightWithFour}, {1, 0, CompressPortable}};
constexpr Width kLastLane[] = {{4, 2, WrongInLastLane}, {1, 0, CompressPortable}};
constexpr Width kNarrow[] = {{4, 2, RightWithFour}, {1, 0, OnlyFirstBlock}};
constexpr Width kNothing[] = {{1, 0, DoesNothing}};
constexpr Width kCrash[] = {{1, 0, Crashes}};

int SelectRefuses() {
  const Kernel right{"right", Always, kRight}, last_lane{"last lane", Always, kLastLane}, narrow{"narrow", Always, kNarrow},
      nothing{"nothing", Always, kNothing}, missing{"missing", Never, kCrash};
  std::string names;
  for (const Kernel* kernel : Select({&missing, &last_lane, &narrow, &right, &nothing})) names += kernel->name;
  if (names != "right") {
    fprintf(stderr, "selected: %s\n", names.c_str());
    return 1;
  }
  // CPU time: on a busy machine this process may have to wait for a processor.
  const clock_t start = clock();
  const size_t count = Usable().size();
  const double spent = 1000.0 * static_cast<double>(clock() - start) / CLOCKS_PER_SEC;
  printf("%zu kernels selected in %.3f ms\n", count, spent);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "digests") == 0) return Digests();
  if (argc == 2 && strcmp(argv[1], "select") == 0) return SelectRefuses();
  fprintf(stderr, "usage: kernels_check digests|select\n");
  return 2;
}
