#include <napi.h>

#include "bindings.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  coldsnap::ExportBlocks(env, exports);
  coldsnap::ExportIo(env, exports);
  coldsnap::ExportSha256(env, exports);
  return exports;
}

NODE_API_MODULE(coldsnap, Init)
