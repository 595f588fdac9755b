#include <cstring>
#include <utility>
#include <vector>

#include "bindings.h"
#include "block_batch.h"
#include "promise_worker.h"

namespace coldsnap {

namespace {

struct WriteTask {
  int fd;
  std::vector<ReceivedBlock> blocks;
  ZeroPolicy policy;
  ZeroMethod method;
};

// Fills the blocks from offsets: Float64Array, digests: Uint8Array and the arguments from `first` on.
std::vector<ReceivedBlock> ToReceivedBlocks(const Napi::CallbackInfo& info, size_t first, Napi::Value offsets_of,
                                            Napi::Value digests_of) {
  Napi::Float64Array offsets = offsets_of.As<Napi::Float64Array>();
  const Bytes digests = ToBytes(digests_of);
  std::vector<ReceivedBlock> blocks(info.Length() - first);
  for (size_t i = 0; i < blocks.size(); i++) {
    ReceivedBlock& block = blocks[i];
    const Bytes bytes = ToBytes(info[first + i]);
    block.data = bytes.data;
    block.length = bytes.length;
    block.offset = static_cast<uint64_t>(offsets[i]);
    memcpy(block.digest.data(), digests.data + i * block.digest.size(), block.digest.size());
  }
  return blocks;
}

// writeBlocks(fd, policy, method, offsets: Float64Array, digests: Uint8Array, verified: Uint8Array, ...data)
//   → Promise<[outcome…, method]>
Napi::Value Write(const Napi::CallbackInfo& info) {
  constexpr size_t kFirst = 6;
  WriteTask task{ToFd(info[0]), ToReceivedBlocks(info, kFirst, info[3], info[4]),
                 static_cast<ZeroPolicy>(info[1].As<Napi::Number>().Uint32Value()), ToZeroMethod(info[2])};
  const Bytes verified = ToBytes(info[5]);
  for (size_t i = 0; i < task.blocks.size(); i++) task.blocks[i].verified = verified.data[i] != 0;
  return RunAsync<WriteTask>(
      info, std::move(task),
      [](WriteTask& t) { return WriteBlocks(t.fd, &t.blocks, t.policy, &t.method); },
      [](Napi::Env env, WriteTask& t) -> Napi::Value {
        const Napi::Array result = Napi::Array::New(env, t.blocks.size() + 1);
        uint32_t i = 0;
        for (const ReceivedBlock& block : t.blocks) result.Set(i++, static_cast<uint8_t>(block.outcome));
        result.Set(i, ToJs(env, t.method));
        return result;
      },
      kFirst);
}

struct CompareTask {
  int fd;
  std::vector<ReceivedBlock> blocks;
  Buffer buffer;
  std::vector<Comparison> results;
};

// compareBlocks(fd, offsets: Float64Array, digests: Uint8Array, buffer, ...data)
//   → Promise<{ outcome, equal, bytesRead }[]>
Napi::Value CompareWith(const Napi::CallbackInfo& info) {
  constexpr size_t kBuffer = 3, kFirst = 4;
  const Bytes buffer = ToBytes(info[kBuffer]);
  return RunAsync<CompareTask>(
      info,
      {ToFd(info[0]), ToReceivedBlocks(info, kFirst, info[1], info[2]), {buffer.data, buffer.length}, {}},
      [](CompareTask& t) { return CompareBlocks(t.fd, &t.blocks, t.buffer, &t.results); },
      [](Napi::Env env, CompareTask& t) -> Napi::Value {
        const Napi::Array result = Napi::Array::New(env, t.blocks.size());
        for (size_t i = 0; i < t.blocks.size(); i++) {
          const Napi::Object entry = Napi::Object::New(env);
          entry.Set("outcome", static_cast<uint8_t>(t.blocks[i].outcome));
          entry.Set("equal", t.results[i].equal);
          entry.Set("bytesRead", static_cast<double>(t.results[i].bytes_read));
          result.Set(static_cast<uint32_t>(i), entry);
        }
        return result;
      },
      kBuffer);
}

struct ReadTask {
  int fd;
  std::vector<BlockRead> blocks;
  bool hash;
};

// readBlocks(fd, hash, offsets: Float64Array, ...data) → Promise<{ digest, zero, bytesRead }[]>
Napi::Value Read(const Napi::CallbackInfo& info) {
  constexpr size_t kFirst = 3;
  ReadTask task{ToFd(info[0]), {}, info[1].As<Napi::Boolean>().Value()};
  Napi::Float64Array offsets = info[2].As<Napi::Float64Array>();
  task.blocks.resize(info.Length() - kFirst);
  for (size_t i = 0; i < task.blocks.size(); i++) {
    const Bytes bytes = ToBytes(info[kFirst + i]);
    task.blocks[i].data = bytes.data;
    task.blocks[i].length = bytes.length;
    task.blocks[i].offset = static_cast<uint64_t>(offsets[i]);
  }
  return RunAsync<ReadTask>(
      info, std::move(task), [](ReadTask& t) { return ReadBlocks(t.fd, &t.blocks, t.hash); },
      [](Napi::Env env, ReadTask& t) -> Napi::Value {
        const Napi::Array result = Napi::Array::New(env, t.blocks.size());
        for (size_t i = 0; i < t.blocks.size(); i++) {
          const BlockRead& block = t.blocks[i];
          const Napi::Object entry = Napi::Object::New(env);
          entry.Set("digest", NewBytes(env, block.digest.data(), t.hash ? block.digest.size() : 0));
          entry.Set("zero", block.zero);
          entry.Set("bytesRead", static_cast<double>(block.bytes_read));
          result.Set(static_cast<uint32_t>(i), entry);
        }
        return result;
      },
      kFirst);
}

}  // namespace

void ExportBlocks(Napi::Env env, Napi::Object exports) {
  exports.Set("writeBlocks", Napi::Function::New<Write>(env));
  exports.Set("compareBlocks", Napi::Function::New<CompareWith>(env));
  exports.Set("readBlocks", Napi::Function::New<Read>(env));
}

}  // namespace coldsnap
