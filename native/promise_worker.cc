#include "promise_worker.h"

namespace coldsnap {

PromiseWorker::PromiseWorker(Napi::Env env, Run run, Result result, Napi::Value keep)
    : Napi::AsyncWorker(env, "coldsnap"),
      deferred_(Napi::Promise::Deferred::New(env)),
      keep_(keep.IsObject() ? Napi::Reference<Napi::Value>::New(keep, 1) : Napi::Reference<Napi::Value>()),
      run_(std::move(run)),
      result_(std::move(result)) {}

void PromiseWorker::OnOK() {
  const Napi::Env env = Env();
  if (error_.Failed()) {
    deferred_.Reject(ToJsError(env, error_));
    return;
  }
  const Napi::Value value = result_(env);
  if (env.IsExceptionPending()) {  // out of memory while the result was made
    deferred_.Reject(env.GetAndClearPendingException().Value());
  } else {
    deferred_.Resolve(value);
  }
}

Napi::Value ToJsError(Napi::Env env, const SysError& error) {
  const Napi::Object object = Napi::Error::New(env, error.call).Value();
  object.Set("errno", -error.number);
  object.Set("syscall", error.call);
  if (error.code != nullptr) object.Set("code", error.code);
  if (error.offset >= 0) object.Set("offset", static_cast<double>(error.offset));
  return object;
}

}  // namespace coldsnap
