// The one way from JavaScript to the thread pool and back.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <utility>

#include "sys_error.h"

namespace coldsnap {

// Runs a closure on a pool thread and settles a promise with what came of it. Nothing of JavaScript is touched off the
// main thread.
class PromiseWorker final : public Napi::AsyncWorker {
 public:
  using Run = std::function<SysError()>;
  using Result = std::function<Napi::Value(Napi::Env)>;

  PromiseWorker(Napi::Env env, Run run, Result result, Napi::Value keep);
  Napi::Promise GetPromise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { error_ = run_(); }
  void OnOK() override;

 private:
  Napi::Promise::Deferred deferred_;
  Napi::Reference<Napi::Value> keep_;
  Run run_;
  Result result_;
  SysError error_;
};

// An Error with `errno` (negative), `syscall` and, where known, `code` and `offset`; TypeScript words the message.
Napi::Value ToJsError(Napi::Env env, const SysError& error);

// Runs `run(state)` off the main thread and resolves with `result(env, state)`. `keep` is an array that only this side
// holds: what is in it stays alive until then, whatever JavaScript does with its own.
template <typename State>
Napi::Value RunAsync(Napi::Env env, State state, Napi::Value keep, SysError (*run)(State&),
                     Napi::Value (*result)(Napi::Env, const State&)) {
  const auto shared = std::make_shared<State>(std::move(state));
  auto* worker = new PromiseWorker(
      env, [shared, run] { return run(*shared); },
      [shared, result](Napi::Env result_env) { return result(result_env, *shared); }, keep);
  const Napi::Promise promise = worker->GetPromise();
  worker->Queue();
  return promise;
}

}  // namespace coldsnap
