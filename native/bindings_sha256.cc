#include <cstring>
#include <utility>
#include <vector>

#include "bindings.h"
#include "promise_worker.h"
#include "sha256.h"

namespace coldsnap {

namespace {

Napi::Value ToJs(Napi::Env env, const Digest& digest) { return NewBytes(env, digest.data(), digest.size()); }

struct HashTask {
  std::vector<Message> messages;
  std::vector<Digest> digests;
};

// sha256(...buffers) → Promise<Uint8Array[]>
Napi::Value HashAll(const Napi::CallbackInfo& info) {
  HashTask task;
  for (size_t i = 0; i < info.Length(); i++) {
    const Bytes bytes = ToBytes(info[i]);
    task.messages.push_back({bytes.data, bytes.length});
  }
  return RunAsync<HashTask>(
      info, std::move(task),
      [](HashTask& t) {
        t.digests = Sha256(t.messages);
        return SysError{};
      },
      [](Napi::Env env, HashTask& t) -> Napi::Value {
        const Napi::Array result = Napi::Array::New(env, t.digests.size());
        for (size_t i = 0; i < t.digests.size(); i++) result.Set(static_cast<uint32_t>(i), ToJs(env, t.digests[i]));
        return result;
      },
      0);
}

// A stream's state as JavaScript holds it: chaining value, length and tail, each as bytes, the numbers big-endian.
constexpr size_t kStateSize = 32 + 8 + 64;

Sha256Stream LoadState(const uint8_t* state) {
  Sha256Stream stream;
  for (size_t i = 0; i < 8; i++) {
    memcpy(&stream.chain[i], state + 4 * i, 4);
    stream.chain[i] = __builtin_bswap32(stream.chain[i]);
  }
  memcpy(&stream.length, state + 32, 8);
  stream.length = __builtin_bswap64(stream.length);
  memcpy(stream.tail.data(), state + 40, 64);
  return stream;
}

void StoreState(const Sha256Stream& stream, uint8_t* state) {
  for (size_t i = 0; i < 8; i++) {
    const uint32_t word = __builtin_bswap32(stream.chain[i]);
    memcpy(state + 4 * i, &word, 4);
  }
  const uint64_t length = __builtin_bswap64(stream.length);
  memcpy(state + 32, &length, 8);
  memcpy(state + 40, stream.tail.data(), 64);
}

// sha256New() → Uint8Array
Napi::Value StreamNew(const Napi::CallbackInfo& info) {
  uint8_t state[kStateSize];
  StoreState(Sha256Stream::New(), state);
  return NewBytes(info.Env(), state, sizeof state);
}

// sha256Update(state, data); changes the state in place
void StreamUpdate(const Napi::CallbackInfo& info) {
  const Bytes state = ToBytes(info[0]);
  const Bytes data = ToBytes(info[1]);
  Sha256Stream stream = LoadState(state.data);
  stream.Update(data.data, data.length);
  StoreState(stream, state.data);
}

// sha256Digest(state) → Uint8Array
Napi::Value StreamDigest(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), LoadState(ToBytes(info[0]).data).Finish());
}

// sha256Kernels() → { active, available, lanes }
Napi::Value Kernels(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::vector<const char*> names = Sha256Kernels();
  const Napi::Array available = Napi::Array::New(env, names.size());
  for (size_t i = 0; i < names.size(); i++) available.Set(static_cast<uint32_t>(i), names[i]);
  const Napi::Object result = Napi::Object::New(env);
  result.Set("active", ActiveSha256Kernel());
  result.Set("available", available);
  result.Set("lanes", static_cast<uint32_t>(Sha256Lanes()));
  return result;
}

// useKernel(name) → boolean
Napi::Value UseKernel(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), UseSha256Kernel(info[0].As<Napi::String>().Utf8Value().c_str()));
}

}  // namespace

void ExportSha256(Napi::Env env, Napi::Object exports) {
  exports.Set("sha256", Napi::Function::New<HashAll>(env));
  exports.Set("sha256New", Napi::Function::New<StreamNew>(env));
  exports.Set("sha256Update", Napi::Function::New<StreamUpdate>(env));
  exports.Set("sha256Digest", Napi::Function::New<StreamDigest>(env));
  exports.Set("sha256Kernels", Napi::Function::New<Kernels>(env));
  exports.Set("useKernel", Napi::Function::New<UseKernel>(env));
}

}  // namespace coldsnap
