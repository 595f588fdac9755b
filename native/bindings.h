// The functions exported to JavaScript. src/native/ has validated the arguments; these functions only translate. Lists come as the last
// arguments of a call, and numbers for them in typed arrays, because reading an array's elements can run JavaScript (see
// PromiseWorker).
#pragma once

#include <napi.h>

#include <cstdint>

#include "zero.h"

namespace coldsnap {

void ExportBlocks(Napi::Env env, Napi::Object exports);
void ExportIo(Napi::Env env, Napi::Object exports);
void ExportSha256(Napi::Env env, Napi::Object exports);

struct Bytes {
  uint8_t* data;
  size_t length;
};

inline Bytes ToBytes(Napi::Value value) {
  Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

inline int ToFd(Napi::Value value) { return value.As<Napi::Number>().Int32Value(); }
inline uint64_t ToUint64(Napi::Value value) { return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value()); }
inline ZeroMethod ToZeroMethod(Napi::Value value) {
  return static_cast<ZeroMethod>(value.As<Napi::Number>().Uint32Value());
}
inline Napi::Value ToJs(Napi::Env env, ZeroMethod method) { return Napi::Number::New(env, static_cast<uint8_t>(method)); }

}  // namespace coldsnap
