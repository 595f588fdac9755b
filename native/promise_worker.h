// The one way from JavaScript to the thread pool and back.
#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "sys_error.h"

namespace coldsnap {

// Runs a closure on a pool thread and settles a promise with its result. Touches no JavaScript off the main thread.
//
// A worker thread can be terminated at any instant; from then on every call of Node-API that might run JavaScript fails (promises
// are neither made nor settled, properties not set), though work in flight still completes here. Therefore functions take
// their arguments apart only by calls that run no JavaScript, and every value made from a result may be empty.
class PromiseWorker final : public Napi::AsyncWorker {
 public:
  using Run = std::function<SysError()>;
  using Result = std::function<Napi::Value(Napi::Env)>;

  PromiseWorker(Napi::Env env, napi_deferred deferred, Run run, Result result)
      : Napi::AsyncWorker(env, "coldsnap"), deferred_(deferred), run_(std::move(run)), result_(std::move(result)) {}

  // The value stays alive until the work is done.
  void Keep(Napi::Value value) { kept_.push_back(Napi::Reference<Napi::Value>::New(value, 1)); }

 protected:
  void Execute() override { error_ = run_(); }
  void OnOK() override;

 private:
  napi_deferred deferred_;
  std::vector<Napi::Reference<Napi::Value>> kept_;
  Run run_;
  Result result_;
  SysError error_;
};

// A new Uint8Array of these bytes; an empty value when the environment is shutting down.
Napi::Value NewBytes(Napi::Env env, const uint8_t* bytes, size_t length);

// An Error with `errno` (negative), `syscall` and, where known, `offset`; TypeScript makes the message.
Napi::Value ToJsError(Napi::Env env, const SysError& error);

// Runs `run(state)` off the main thread and resolves with `result(env, state)`. The arguments of the call from number
// `keep_from` on stay alive until then.
template <typename State>
Napi::Value RunAsync(const Napi::CallbackInfo& info, State state, SysError (*run)(State&),
                     Napi::Value (*result)(Napi::Env, State&), size_t keep_from = SIZE_MAX) {
  const Napi::Env env = info.Env();
  napi_deferred deferred;
  napi_value promise;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return Napi::Value();
  const auto shared = std::make_shared<State>(std::move(state));
  auto* worker = new PromiseWorker(
      env, deferred, [shared, run] { return run(*shared); },
      [shared, result](Napi::Env result_env) { return result(result_env, *shared); });
  for (size_t i = keep_from; i < info.Length(); i++) worker->Keep(info[i]);
  worker->Queue();
  return Napi::Value(env, promise);
}

}  // namespace coldsnap
