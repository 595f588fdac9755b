#include "promise_worker.h"

#include <cstring>

namespace coldsnap {

void PromiseWorker::OnOK() {
  const Napi::Env env = Env();
  if (error_.Failed()) {
    napi_reject_deferred(env, deferred_, ToJsError(env, error_));
    return;
  }
  const Napi::Value value = result_(env);
  if (env.IsExceptionPending()) {  // out of memory while the result was made
    napi_reject_deferred(env, deferred_, env.GetAndClearPendingException().Value());
  } else if (!value.IsEmpty()) {
    napi_resolve_deferred(env, deferred_, value);
  }
}

Napi::Value NewBytes(Napi::Env env, const uint8_t* bytes, size_t length) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, length);
  if (array.IsEmpty()) return Napi::Value();
  if (length > 0) memcpy(array.Data(), bytes, length);
  return array;
}

Napi::Value ToJsError(Napi::Env env, const SysError& error) {
  const Napi::Object object = Napi::Error::New(env, error.call).Value();
  object.Set("errno", -error.number);
  object.Set("syscall", error.call);
  if (error.offset >= 0) object.Set("offset", static_cast<double>(error.offset));
  return object;
}

}  // namespace coldsnap
