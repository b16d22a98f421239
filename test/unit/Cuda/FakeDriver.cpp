//===- FakeDriver.cpp - A test double of libcuda.so.1 ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The entry points that the runtime uses, with the same types and rules, on the
// host: every argument is checked, work on a stream is done when something
// waits for it, graphs are captured and replayed, addresses of the device
// cannot be read by the host. Kernels are functions that a test registers.
//
// FAKE_CUDA in the environment, read by cuInit, is a list of key=value with ';'
// between: devices (1), arch (90), memory (bytes), jitlog (text of the driver's
// compiler), fail (symbol:code@n, the n-th call), crash (kernel:code), module
// (path of a module: kernels that no test has registered do what its target
// cuda-sim does, or those of a TestModule what its entries for the CPU do), and
// the keys of FakeCublasLt.cpp.
//
//===----------------------------------------------------------------------===//

#include "test/unit/Cuda/FakeDriver.h"
#include "runtime/abi/qwen_module.h"
#include "runtime/cudasim/Simulator.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

/// Added to every address: what the host touches by mistake is not mapped.
constexpr uint64_t kOffset = uint64_t(1) << 47;

using Operation = std::function<int()>;

struct Function {
  std::string name;
  size_t numParams = 0;
  int maxShared = 48 * 1024;
};
struct Module {
  std::map<std::string, Function> functions;
};
struct Graph {
  std::vector<Operation> operations;
};
struct Stream {
  std::vector<Operation> queue;
  std::unique_ptr<Graph> capture;
  bool captureBroken = false;
};
struct Event {
  Stream *stream = nullptr;
  bool hasTiming = false;
  double time = -1;
};

/// The whole driver.
struct State {
  std::map<std::string, std::string> options;
  bool initialised = false;
  int contexts = 0;
  int sticky = 0; // after a kernel crashed nothing works any more
  uint64_t allocated = 0;
  std::map<uint64_t, std::unique_ptr<char[]>> memory;
  std::map<uint64_t, uint64_t> sizes;
  std::map<char *, size_t> pinned;
  std::set<Stream *> streams;
  std::set<Event *> events;
  std::set<Module *> modules;
  std::set<Graph *> graphs, executables;
  std::map<std::string, int> calls;
  std::map<std::string, FakeKernel> kernels;
  std::string violations;
  double clock = 0; // milliseconds
};
State &state() {
  static State instance;
  return instance;
}
thread_local bool isCurrent = false;
thread_local int currentDevice = -1;

int violation(const std::string &text) {
  std::fprintf(stderr, "fake driver: %s\n", text.c_str());
  state().violations += text + "\n";
  return 1; // CUDA_ERROR_INVALID_VALUE
}

std::string option(const std::string &key, const char *otherwise) {
  auto it = state().options.find(key);
  return it == state().options.end() ? otherwise : it->second;
}

void readOptions() {
  state().options.clear();
  state().calls.clear();
  const char *given = std::getenv("FAKE_CUDA");
  std::string text = given ? given : "";
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find(';', at), text.size());
    size_t equals = text.find('=', at);
    if (equals < end)
      state().options[text.substr(at, equals - at)] =
          text.substr(equals + 1, end - equals - 1);
    at = end + 1;
  }
}

/// Counts a call; the code of the failure that a test asked for, if it is now.
int begin(const char *symbol, bool needsContext = true) {
  State &s = state();
  if (!s.initialised)
    return 3; // CUDA_ERROR_NOT_INITIALIZED
  int n = ++s.calls[symbol];
  std::string wanted = option("fail", "");
  size_t colon = wanted.find(':'), at = wanted.find('@');
  if (colon != wanted.npos && wanted.substr(0, colon) == symbol &&
      (at == wanted.npos || std::atoi(wanted.c_str() + at + 1) == n))
    return std::atoi(wanted.c_str() + colon + 1);
  if (needsContext && !isCurrent)
    return 201; // CUDA_ERROR_INVALID_CONTEXT
  return needsContext ? s.sticky : 0;
}

#define BEGIN(symbol, ...)                                                     \
  if (int code = begin(symbol, ##__VA_ARGS__))                                 \
  return code

/// The host's address of [address, address + bytes) of the device, or null.
char *translate(uint64_t address, uint64_t bytes) {
  State &s = state();
  auto it = s.memory.upper_bound(address);
  if (it == s.memory.begin())
    return nullptr;
  --it;
  if (address + bytes > it->first + s.sizes[it->first])
    return nullptr;
  return it->second.get() + (address - it->first);
}

bool isPinned(const void *address, size_t bytes) {
  auto *at = static_cast<const char *>(address);
  for (auto &[base, size] : state().pinned)
    if (at >= base && at + bytes <= base + size)
      return true;
  return false;
}

bool isCapturing() {
  for (Stream *stream : state().streams)
    if (stream->capture)
      return true;
  return false;
}

/// What must not happen while a stream is captured.
int refuseInCapture(const char *symbol) {
  if (!isCapturing())
    return 0;
  for (Stream *stream : state().streams)
    stream->captureBroken |= stream->capture != nullptr;
  violation(std::string(symbol) + " during a capture");
  return 900; // CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
}

int push(Stream *stream, Operation operation) {
  if (!state().streams.count(stream))
    return violation("a stream that does not exist");
  if (stream->capture)
    stream->capture->operations.push_back(std::move(operation));
  else
    stream->queue.push_back(std::move(operation));
  return 0;
}

int drain(Stream *stream) {
  std::vector<Operation> queue = std::move(stream->queue);
  stream->queue.clear();
  for (Operation &operation : queue)
    if (int code = operation())
      return state().sticky = code;
  return 0;
}

/// Kernels and their parameters from text that looks like PTX.
bool parseModule(const std::string &text, Module &module) {
  for (size_t at = text.find(".entry "); at != text.npos;
       at = text.find(".entry ", at + 1)) {
    size_t open = text.find('(', at), close = text.find(')', at);
    if (open == text.npos || close == text.npos)
      return false;
    Function function;
    function.name = text.substr(at + 7, open - at - 7);
    for (size_t p = text.find(".param", open); p < close;
         p = text.find(".param", p + 1))
      ++function.numParams;
    module.functions[function.name] = function;
  }
  return !module.functions.empty();
}

/// Runs a kernel by the code of target cuda-sim.
int simulate(const qrt_kernel &kernel, const FakeLaunch &launch) {
  static qrt::ThreadPool pool(2);
  static qrt::cudasim::Simulator simulator(pool);
  std::vector<uint64_t> values = launch.params;
  std::vector<void *> params;
  for (uint64_t &value : values)
    params.push_back(&value);
  uint32_t grid[3] = {launch.grid[0], launch.grid[1], launch.grid[2]};
  qrt::Status status = simulator.launch(kernel, grid, params.data());
  return status ? 0 : violation(status.error().str());
}

/// Runs a kernel that a module tells what to do.
int runOfModule(const FakeLaunch &launch) {
  constexpr size_t kMaxSlots = 24;
  static const qrt_module *module = [] {
    void *handle = dlopen(option("module", "").c_str(), RTLD_NOW);
    void *query = handle ? dlsym(handle, QRT_QUERY_SYMBOL) : nullptr;
    return query ? reinterpret_cast<qrt_query>(query)(QRT_ABI_VERSION)
                 : nullptr;
  }();
  if (!module || module->num_variants < 2)
    return violation("no module runs kernel " + launch.kernel);
  for (uint32_t v = 0; v < module->num_variants; ++v) {
    const qrt_variant &variant = module->variants[v];
    for (uint32_t i = 0; i < variant.num_kernels; ++i)
      if (variant.kernels[i].thread && launch.kernel == variant.kernels[i].name)
        return simulate(variant.kernels[i], launch);
  }
  static qrt_api api{};
  api.parallel_for = [](qrt_ctx *, const char *, qrt_task task, void *args,
                        int64_t n, int64_t) {
    alignas(64) static char scratch[4096];
    task(args, 0, n, scratch);
  };
  qrt_ctx context{&api};
  std::vector<void *> args;
  for (size_t slot = 0; slot < kMaxSlots; ++slot)
    args.push_back(reinterpret_cast<void *>(launch.params[slot]));
  int64_t extents[] = {int64_t(launch.params[kMaxSlots]),
                       int64_t(launch.params[kMaxSlots + 1])};
  qrt_call call{args.data(), extents,
                reinterpret_cast<void *>(launch.params.back())};
  const qrt_variant &gpu = module->variants[1];
  for (uint32_t i = 0; i < gpu.num_kernels; ++i)
    if (launch.kernel == gpu.kernels[i].name)
      return module->variants[0].entries[i](&context, &call);
  return violation("the module has no kernel " + launch.kernel);
}

} // namespace

//===----------------------------------------------------------------------===//
// For tests
//===----------------------------------------------------------------------===//

EXPORT void fakeCudaRegister(const char *kernel, FakeKernel function) {
  state().kernels[kernel] = std::move(function);
}
EXPORT std::string fakeCudaViolations() {
  return std::exchange(state().violations, "");
}
EXPORT int fakeCudaCalls(const char *symbol) { return state().calls[symbol]; }
EXPORT int fakeCudaPush(void *stream, std::function<int()> work) {
  return push(static_cast<Stream *>(stream), std::move(work));
}
EXPORT int fakeCudaDevice() { return currentDevice; }
EXPORT char *fakeCudaHost(uint64_t address, uint64_t bytes) {
  return translate(address, bytes);
}
EXPORT std::string fakeCudaOption(const char *key, const char *otherwise) {
  return option(key, otherwise);
}
EXPORT void fakeCudaSpend(double milliseconds) {
  state().clock += milliseconds;
}
EXPORT int fakeCudaBegin(const char *symbol) { return begin(symbol); }
EXPORT void fakeCudaViolation(const std::string &text) { violation(text); }
/// A new process: nothing is initialised.
EXPORT void fakeCudaReset() {
  state() = State();
  isCurrent = false;
}

//===----------------------------------------------------------------------===//
// The driver
//===----------------------------------------------------------------------===//

EXPORT int cuInit(unsigned flags) {
  readOptions();
  state().initialised = true;
  if (int code = begin("cuInit", false))
    return code;
  return flags ? violation("cuInit with flags") : 0;
}
EXPORT int cuDriverGetVersion(int *version) {
  *version = 13000;
  return 0;
}
EXPORT int cuGetErrorName(int code, const char **name) {
  static const std::map<int, const char *> names = {
      {1, "CUDA_ERROR_INVALID_VALUE"},
      {2, "CUDA_ERROR_OUT_OF_MEMORY"},
      {100, "CUDA_ERROR_NO_DEVICE"},
      {209, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
      {214, "CUDA_ERROR_ECC_UNCORRECTABLE"},
      {218, "CUDA_ERROR_INVALID_PTX"},
      {500, "CUDA_ERROR_NOT_FOUND"},
      {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
      {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
      {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
      {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"}};
  auto it = names.find(code);
  *name = it == names.end() ? nullptr : it->second;
  return it == names.end() ? 1 : 0;
}
EXPORT int cuGetErrorString(int code, const char **text) {
  *text = "as the test asked";
  return code ? 0 : 1;
}
EXPORT int cuDeviceGetCount(int *count) {
  BEGIN("cuDeviceGetCount", false);
  *count = std::atoi(option("devices", "1").c_str());
  return 0;
}
EXPORT int cuDeviceGet(int *device, int ordinal) {
  BEGIN("cuDeviceGet", false);
  *device = ordinal + 7; // no handle is its number
  return 0;
}
EXPORT int cuDeviceGetName(char *name, int bytes, int device) {
  BEGIN("cuDeviceGetName", false);
  std::snprintf(name, bytes, "Fake GPU %d", device - 7);
  return 0;
}
EXPORT int cuDeviceGetPCIBusId(char *id, int bytes, int) {
  BEGIN("cuDeviceGetPCIBusId", false);
  std::snprintf(id, bytes, "0000:00:00.0");
  return 0;
}
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int) {
  BEGIN("cuDeviceGetAttribute", false);
  int arch = std::atoi(option("arch", "90").c_str());
  switch (attribute) {
  case 75:
    *value = arch / 10;
    return 0;
  case 76:
    *value = arch % 10;
    return 0;
  case 97:
    *value = 227 * 1024;
    return 0;
  }
  return violation("an attribute that nobody asks for");
}
EXPORT int cuDevicePrimaryCtxRetain(void **context, int device) {
  BEGIN("cuDevicePrimaryCtxRetain", false);
  ++state().contexts;
  *context = reinterpret_cast<void *>(intptr_t(device));
  return 0;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int) {
  State &s = state();
  if (--s.contexts == 0)
    if (!s.memory.empty() || !s.pinned.empty() || !s.streams.empty() ||
        !s.events.empty() || !s.modules.empty() || !s.graphs.empty() ||
        !s.executables.empty())
      return violation("something was not freed");
  return 0;
}
EXPORT int cuCtxSetCurrent(void *context) {
  isCurrent = context != nullptr;
  currentDevice =
      isCurrent ? static_cast<int>(reinterpret_cast<intptr_t>(context)) - 7
                : -1;
  return 0;
}
EXPORT int cuMemGetInfo_v2(size_t *available, size_t *total) {
  BEGIN("cuMemGetInfo_v2");
  *total = std::strtoull(option("memory", "1073741824").c_str(), nullptr, 10);
  *available = *total - state().allocated;
  return 0;
}
EXPORT int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
  BEGIN("cuMemAlloc_v2");
  if (int code = refuseInCapture("cuMemAlloc"))
    return code;
  if (bytes == 0)
    return violation("an allocation of nothing");
  State &s = state();
  size_t total =
      std::strtoull(option("memory", "1073741824").c_str(), nullptr, 10);
  if (s.allocated + bytes > total)
    return 2;
  // Not zero, as the real ones are not.
  std::unique_ptr<char[]> block(new char[bytes]);
  std::memset(block.get(), 0xcd, bytes);
  static uint64_t next = kOffset;
  next = (next + 511) & ~uint64_t(511);
  *address = next;
  next += bytes + 512;
  s.allocated += bytes;
  s.sizes[*address] = bytes;
  s.memory[*address] = std::move(block);
  return 0;
}
EXPORT int cuMemFree_v2(uint64_t address) {
  State &s = state();
  auto it = s.memory.find(address);
  if (it == s.memory.end())
    return violation("freed what was not allocated");
  for (Stream *stream : s.streams)
    if (!stream->queue.empty() && !s.sticky)
      drain(stream); // as the real one waits
  s.allocated -= s.sizes[address];
  s.sizes.erase(address);
  s.memory.erase(it);
  return 0;
}
EXPORT int cuMemHostAlloc(void **memory, size_t bytes, unsigned) {
  BEGIN("cuMemHostAlloc");
  char *block = new char[bytes];
  state().pinned[block] = bytes;
  *memory = block;
  return 0;
}
EXPORT int cuMemFreeHost(void *memory) {
  auto it = state().pinned.find(static_cast<char *>(memory));
  if (it == state().pinned.end())
    return violation("freed pinned memory that was not allocated");
  delete[] it->first;
  state().pinned.erase(it);
  return 0;
}
EXPORT int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes,
                                Stream *stream) {
  BEGIN("cuMemcpyHtoDAsync_v2");
  if (!isPinned(from, bytes))
    return violation("an asynchronous copy from memory that is not pinned");
  char *target = translate(to, bytes);
  if (!target)
    return violation("a copy to an address outside of all allocations");
  return push(stream, [=] {
    std::memcpy(target, from, bytes);
    return 0;
  });
}
EXPORT int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes,
                                Stream *stream) {
  BEGIN("cuMemcpyDtoHAsync_v2");
  if (!isPinned(to, bytes))
    return violation("an asynchronous copy to memory that is not pinned");
  char *source = translate(from, bytes);
  if (!source)
    return violation("a copy from an address outside of all allocations");
  return push(stream, [=] {
    std::memcpy(to, source, bytes);
    return 0;
  });
}
EXPORT int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes,
                                Stream *stream) {
  BEGIN("cuMemcpyDtoDAsync_v2");
  char *source = translate(from, bytes), *target = translate(to, bytes);
  if (!source || !target)
    return violation("a copy between addresses outside of all allocations");
  return push(stream, [=] {
    std::memmove(target, source, bytes);
    return 0;
  });
}
EXPORT int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes,
                           Stream *stream) {
  BEGIN("cuMemsetD8Async");
  char *target = translate(to, bytes);
  if (!target)
    return violation("a memset outside of all allocations");
  return push(stream, [=] {
    std::memset(target, value, bytes);
    return 0;
  });
}
EXPORT int cuStreamCreate(Stream **stream, unsigned) {
  BEGIN("cuStreamCreate");
  state().streams.insert(*stream = new Stream);
  return 0;
}
EXPORT int cuStreamDestroy_v2(Stream *stream) {
  if (!state().streams.erase(stream))
    return violation("destroyed a stream that does not exist");
  delete stream;
  return 0;
}
EXPORT int cuStreamSynchronize(Stream *stream) {
  BEGIN("cuStreamSynchronize");
  if (int code = refuseInCapture("cuStreamSynchronize"))
    return code;
  return drain(stream);
}
EXPORT int cuStreamBeginCapture_v2(Stream *stream, int) {
  BEGIN("cuStreamBeginCapture_v2");
  if (stream->capture)
    return violation("a capture in a capture");
  stream->capture = std::make_unique<Graph>();
  stream->captureBroken = false;
  return 0;
}
EXPORT int cuStreamEndCapture(Stream *stream, Graph **graph) {
  BEGIN("cuStreamEndCapture");
  if (!stream->capture)
    return violation("the end of no capture");
  std::unique_ptr<Graph> captured = std::move(stream->capture);
  *graph = nullptr;
  if (stream->captureBroken)
    return 901;
  state().graphs.insert(*graph = captured.release());
  return 0;
}
EXPORT int cuGraphInstantiateWithFlags(Graph **executable, Graph *graph,
                                       unsigned long long) {
  BEGIN("cuGraphInstantiateWithFlags");
  if (!state().graphs.count(graph))
    return violation("a graph that does not exist");
  state().executables.insert(*executable = new Graph(*graph));
  return 0;
}
EXPORT int cuGraphDestroy(Graph *graph) {
  if (!state().graphs.erase(graph))
    return violation("destroyed a graph that does not exist");
  delete graph;
  return 0;
}
EXPORT int cuGraphExecDestroy(Graph *graph) {
  if (!state().executables.erase(graph))
    return violation("destroyed a graph that does not exist");
  delete graph;
  return 0;
}
EXPORT int cuGraphLaunch(Graph *graph, Stream *stream) {
  BEGIN("cuGraphLaunch");
  if (!state().executables.count(graph))
    return violation("launched a graph that does not exist");
  for (const Operation &operation : graph->operations)
    if (int code = push(stream, operation))
      return code;
  return 0;
}
EXPORT int cuEventCreate(Event **event, unsigned flags) {
  BEGIN("cuEventCreate");
  state().events.insert(*event = new Event);
  (*event)->hasTiming = !(flags & 2);
  return 0;
}
EXPORT int cuEventDestroy_v2(Event *event) {
  if (!state().events.erase(event))
    return violation("destroyed an event that does not exist");
  delete event;
  return 0;
}
EXPORT int cuEventRecord(Event *event, Stream *stream) {
  BEGIN("cuEventRecord");
  event->stream = stream;
  if (!event->hasTiming)
    return 0;
  return push(stream, [event] {
    if (state().events.count(event))
      event->time = state().clock;
    return 0;
  });
}
EXPORT int cuEventElapsedTime(float *milliseconds, Event *from, Event *to) {
  BEGIN("cuEventElapsedTime");
  if (!from->hasTiming || !to->hasTiming)
    return violation("the time of an event without one");
  if (from->time < 0 || to->time < 0)
    return violation("the time of an event that did not happen yet");
  *milliseconds = float(to->time - from->time);
  return 0;
}
EXPORT int cuEventSynchronize(Event *event) {
  BEGIN("cuEventSynchronize");
  if (int code = refuseInCapture("cuEventSynchronize"))
    return code;
  // Does more than it must: all that the stream has.
  return event->stream ? drain(event->stream) : 0;
}
EXPORT int cuModuleLoadDataEx(Module **module, const void *image,
                              unsigned numOptions, int *options,
                              void **values) {
  BEGIN("cuModuleLoadDataEx");
  char *log = nullptr;
  size_t logBytes = 0;
  for (unsigned i = 0; i < numOptions; ++i) {
    if (options[i] == 3)
      log = static_cast<char *>(values[i]);
    if (options[i] == 4)
      logBytes = reinterpret_cast<size_t>(values[i]);
  }
  std::string text = static_cast<const char *>(image);
  size_t target = text.find("sm_");
  if (target == text.npos)
    return 218;
  int arch = std::atoi(text.c_str() + target + 3);
  int mine = std::atoi(option("arch", "90").c_str());
  bool specific = text.find("sm_" + std::to_string(arch) + "a") != text.npos;
  bool cubin = text.rfind("CUBIN", 0) == 0;
  if (specific ? arch != mine
               : arch > mine || (cubin && arch / 10 != mine / 10))
    return 209;
  if (!cubin && specific && log && logBytes)
    std::snprintf(log, logBytes, "%s", option("jitlog", "").c_str());
  auto loaded = std::make_unique<Module>();
  if (!parseModule(text, *loaded))
    return 218;
  state().modules.insert(*module = loaded.release());
  return 0;
}
EXPORT int cuModuleUnload(Module *module) {
  if (!state().modules.erase(module))
    return violation("unloaded a module that does not exist");
  delete module;
  return 0;
}
EXPORT int cuModuleGetFunction(Function **function, Module *module,
                               const char *name) {
  BEGIN("cuModuleGetFunction");
  auto it = module->functions.find(name);
  if (it == module->functions.end())
    return 500;
  *function = &it->second;
  return 0;
}
EXPORT int cuFuncSetAttribute(Function *function, int attribute, int value) {
  BEGIN("cuFuncSetAttribute");
  if (attribute != 8 || value > 227 * 1024)
    return violation("an attribute of a function out of its range");
  function->maxShared = value;
  return 0;
}
EXPORT int cuLaunchKernel(Function *function, unsigned gx, unsigned gy,
                          unsigned gz, unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, Stream *stream, void **params,
                          void **extra) {
  BEGIN("cuLaunchKernel");
  if (!gx || !gy || !gz || gx > 0x7fffffffu || gy > 65535 || gz > 65535)
    return violation("a grid out of its range");
  if (!bx || !by || !bz || uint64_t(bx) * by * bz > 1024 || bz > 64)
    return violation("a block out of its range");
  if (int(shared) > function->maxShared)
    return violation("more shared memory than was asked for");
  if (extra || (!params && function->numParams))
    return violation("parameters that are no parameters");
  FakeLaunch launch;
  launch.kernel = function->name;
  launch.grid[0] = gx, launch.grid[1] = gy, launch.grid[2] = gz;
  launch.block[0] = bx, launch.block[1] = by, launch.block[2] = bz;
  for (size_t i = 0; i < function->numParams; ++i) {
    uint64_t value;
    std::memcpy(&value, params[i], 8);
    if (value >= kOffset) {
      char *address = translate(value, 1);
      if (!address)
        return violation("kernel " + function->name + ": parameter " +
                         std::to_string(i) +
                         " points outside of all allocations");
      value = reinterpret_cast<uint64_t>(address);
    }
    launch.params.push_back(value);
  }
  return push(stream, [launch = std::move(launch)] {
    std::string crash = option("crash", "");
    size_t colon = crash.find(':');
    if (colon != crash.npos && crash.substr(0, colon) == launch.kernel)
      return std::atoi(crash.c_str() + colon + 1);
    auto it = state().kernels.find(launch.kernel);
    if (it == state().kernels.end())
      return runOfModule(launch);
    it->second(launch);
    return 0;
  });
}
