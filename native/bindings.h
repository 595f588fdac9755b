// The functions exported to JavaScript. src/native/ has validated the arguments; these functions only translate. Lists come as the last
// arguments of a call, and numbers for them in typed arrays, because reading an array's elements can run JavaScript (see
// PromiseWorker).
#pragma once

#include <napi.h>

namespace coldsnap {

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

}  // namespace coldsnap
