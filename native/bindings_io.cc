#include <sys/mman.h>

#include <string>

#include "bindings.h"
#include "block_device.h"
#include "block_io.h"
#include "promise_worker.h"
#include "zero.h"

namespace coldsnap {

namespace {

struct FdTask {
  int fd;
  SysError (*call)(int);
};

Napi::Value RunOnFd(const Napi::CallbackInfo& info, SysError (*call)(int)) {
  return RunAsync<FdTask>(
      info, {ToFd(info[0]), call}, [](FdTask& t) { return t.call(t.fd); },
      [](Napi::Env env, FdTask&) { return env.Undefined(); });
}

// syncData(fd), syncAll(fd) → Promise<void>
Napi::Value SyncDataOf(const Napi::CallbackInfo& info) { return RunOnFd(info, SyncData); }
Napi::Value SyncAllOf(const Napi::CallbackInfo& info) { return RunOnFd(info, SyncAll); }

struct InfoTask {
  int fd;
  DeviceInfo device;
};

// deviceInfo(fd) → Promise<DeviceInfo>
Napi::Value Info(const Napi::CallbackInfo& info) {
  return RunAsync<InfoTask>(
      info, {ToFd(info[0]), {}}, [](InfoTask& t) { return ReadDeviceInfo(t.fd, &t.device); },
      [](Napi::Env env, InfoTask& t) -> Napi::Value {
        const Napi::Object result = Napi::Object::New(env);
        result.Set("sizeBytes", static_cast<double>(t.device.size_bytes));
        result.Set("logicalBlockSize", t.device.logical_block_size);
        result.Set("readOnly", t.device.read_only);
        return result;
      });
}

struct LoopTask {
  int fd;
  Inode file;
  bool attached;
};

// loopFile(fd) → Promise<{ dev, ino, rdev } | null>
Napi::Value LoopFile(const Napi::CallbackInfo& info) {
  return RunAsync<LoopTask>(
      info, {ToFd(info[0]), {}, false}, [](LoopTask& t) { return ReadLoopFile(t.fd, &t.file, &t.attached); },
      [](Napi::Env env, LoopTask& t) -> Napi::Value {
        if (!t.attached) return env.Null();
        const Napi::Object result = Napi::Object::New(env);
        result.Set("dev", Napi::BigInt::New(env, t.file.dev));
        result.Set("ino", Napi::BigInt::New(env, t.file.ino));
        result.Set("rdev", Napi::BigInt::New(env, t.file.rdev));
        return result;
      });
}

struct FlagTask {
  int fd;
  bool flag;
};

// rereadPartitionTable(fd) → Promise<boolean>
Napi::Value RereadPartitions(const Napi::CallbackInfo& info) {
  return RunAsync<FlagTask>(
      info, {ToFd(info[0]), false}, [](FlagTask& t) { return RereadPartitionTable(t.fd, &t.flag); },
      [](Napi::Env env, FlagTask& t) -> Napi::Value { return Napi::Boolean::New(env, t.flag); });
}

// tryLock(fd) → boolean, or the error object; does not wait, so it needs no thread
Napi::Value Lock(const Napi::CallbackInfo& info) {
  bool locked;
  const SysError error = TryLock(ToFd(info[0]), &locked);
  return error.Failed() ? ToJsError(info.Env(), error) : Napi::Boolean::New(info.Env(), locked);
}

// setAttribute(fd, name, value) → undefined, or the error object
Napi::Value WriteAttribute(const Napi::CallbackInfo& info) {
  const SysError error = SetAttribute(ToFd(info[0]), info[1].As<Napi::String>(), info[2].As<Napi::String>());
  return error.Failed() ? ToJsError(info.Env(), error) : info.Env().Undefined();
}

// getAttribute(fd, name) → string, or the error object
Napi::Value ReadAttribute(const Napi::CallbackInfo& info) {
  std::string value;
  const SysError error = GetAttribute(ToFd(info[0]), info[1].As<Napi::String>(), &value);
  return error.Failed() ? ToJsError(info.Env(), error) : Napi::String::New(info.Env(), value);
}

// copyAccessList(from, to) → boolean, or the error object
Napi::Value CopyList(const Napi::CallbackInfo& info) {
  bool found = false;
  const SysError error = CopyAccessList(ToFd(info[0]), ToFd(info[1]), &found);
  return error.Failed() ? ToJsError(info.Env(), error) : Napi::Boolean::New(info.Env(), found);
}

// linkFile(fd, path) → undefined, or the error object
Napi::Value Link(const Napi::CallbackInfo& info) {
  const SysError error = LinkFile(ToFd(info[0]), info[1].As<Napi::String>());
  return error.Failed() ? ToJsError(info.Env(), error) : info.Env().Undefined();
}

// Fresh zeroed memory at a multiple of `alignment`, or nullptr with errno; both sizes are multiples of a page.
uint8_t* MapAligned(size_t length, size_t alignment) {
  void* mapped = mmap(nullptr, length + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* start = static_cast<uint8_t*>(mapped);
  const size_t before = (alignment - reinterpret_cast<uintptr_t>(start) % alignment) % alignment;
  if (before > 0) munmap(start, before);
  if (before < alignment) munmap(start + before + length, alignment - before);
  return start + before;
}

// allocateSlab(bytes) → ArrayBuffer, or the error object
Napi::Value AllocateSlab(const Napi::CallbackInfo& info) {
  // Direct I/O pins the pages of each block for each write; huge pages are fewer.
  constexpr size_t kPage = 4096, kHugePage = size_t{1} << 21;
  const size_t asked = static_cast<size_t>(ToUint64(info[0]));
  const size_t length = (asked + kPage - 1) / kPage * kPage;
  uint8_t* memory = MapAligned(length, length < kHugePage ? kPage : kHugePage);
  if (memory == nullptr) return ToJsError(info.Env(), SysError::Last("mmap"));
  // A huge page beyond the slab's end would waste memory. Without huge pages, small ones work.
  const size_t huge = length / kHugePage * kHugePage;
  if (huge > 0) madvise(memory, huge, MADV_HUGEPAGE);
  const auto unmap = [length](Napi::Env, void* data) { munmap(data, length); };
  return Napi::ArrayBuffer::New(info.Env(), memory, asked, unmap);
}

struct RangeTask {
  int fd;
  uint64_t offset;
  uint64_t length;
  ZeroMethod method;
};

// zeroRange(fd, offset, length, method) → Promise<method>
Napi::Value Zero(const Napi::CallbackInfo& info) {
  return RunAsync<RangeTask>(
      info, {ToFd(info[0]), ToUint64(info[1]), ToUint64(info[2]), ToZeroMethod(info[3])}, [](RangeTask& t) { return ZeroRange(t.fd, t.offset, t.length, &t.method); },
      [](Napi::Env env, RangeTask& t) { return ToJs(env, t.method); });
}

// dropCache(fd, offset, length) → Promise<void>
Napi::Value Drop(const Napi::CallbackInfo& info) {
  return RunAsync<RangeTask>(
      info, {ToFd(info[0]), ToUint64(info[1]), ToUint64(info[2]), ZeroMethod::kWrite},
      [](RangeTask& t) { return DropCache(t.fd, t.offset, t.length); },
      [](Napi::Env env, RangeTask&) { return env.Undefined(); });
}

struct ExtentTask {
  int fd;
  uint64_t offset;
  Extent extent;
  bool found;
};

// nextExtent(fd, offset) → Promise<{ start, end } | null>
Napi::Value NextExtentOf(const Napi::CallbackInfo& info) {
  return RunAsync<ExtentTask>(
      info, {ToFd(info[0]), ToUint64(info[1]), {}, false},
      [](ExtentTask& t) { return NextExtent(t.fd, t.offset, &t.extent, &t.found); },
      [](Napi::Env env, ExtentTask& t) -> Napi::Value {
        if (!t.found) return env.Null();
        const Napi::Object result = Napi::Object::New(env);
        result.Set("start", static_cast<double>(t.extent.start));
        result.Set("end", static_cast<double>(t.extent.end));
        return result;
      });
}

// isZero(data) → boolean
Napi::Value IsZeroOf(const Napi::CallbackInfo& info) {
  const Bytes bytes = ToBytes(info[0]);
  return Napi::Boolean::New(info.Env(), IsZero(bytes.data, bytes.length));
}

}  // namespace

void ExportIo(Napi::Env env, Napi::Object exports) {
  exports.Set("deviceInfo", Napi::Function::New<Info>(env));
  exports.Set("loopFile", Napi::Function::New<LoopFile>(env));
  exports.Set("rereadPartitionTable", Napi::Function::New<RereadPartitions>(env));
  exports.Set("allocateSlab", Napi::Function::New<AllocateSlab>(env));
  exports.Set("zeroRange", Napi::Function::New<Zero>(env));
  exports.Set("syncData", Napi::Function::New<SyncDataOf>(env));
  exports.Set("syncAll", Napi::Function::New<SyncAllOf>(env));
  exports.Set("tryLock", Napi::Function::New<Lock>(env));
  exports.Set("linkFile", Napi::Function::New<Link>(env));
  exports.Set("copyAccessList", Napi::Function::New<CopyList>(env));
  exports.Set("setAttribute", Napi::Function::New<WriteAttribute>(env));
  exports.Set("getAttribute", Napi::Function::New<ReadAttribute>(env));
  exports.Set("nextExtent", Napi::Function::New<NextExtentOf>(env));
  exports.Set("dropCache", Napi::Function::New<Drop>(env));
  exports.Set("isZero", Napi::Function::New<IsZeroOf>(env));
}

}  // namespace coldsnap
