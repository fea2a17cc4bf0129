// What XLA calls: arrays in and out, members of a vmap one beside the other, and threads over rows of the batch.
//
// A thread owns a block of rows for all steps, so that none waits for another between steps. Derivatives of the weights
// are summed up in groups of rows that depend on the batch alone, and the groups in order: the bits are the same on any
// number of threads.
#include "recurrence.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace tsrnn {

extern const Instructions portable;
#if defined(__x86_64__)
extern const Instructions avx2, avx512;
#endif

namespace {

// The best that the machine has; TSRNN_NATIVE=avx2 or portable asks for less.
const Instructions& instructions() {
  static const Instructions& chosen = []() -> const Instructions& {
#if defined(__x86_64__)
    const char* value = std::getenv("TSRNN_NATIVE");
    const std::string_view asked = value ? value : "";
    if (asked != "portable") {
      if (asked != "avx2" && avx512.supported()) return avx512;
      if (avx2.supported()) return avx2;
    }
#endif
    return portable;
  }();
  return chosen;
}

template <class T>
const Kernels<T>& kernels(bool lstm) {
  const Instructions& set = instructions();
  if constexpr (sizeof(T) == sizeof(float)) return lstm ? set.single_lstm : set.single_gru;
  else return lstm ? set.double_lstm : set.double_gru;
}

// Pages of 2 MiB for large arrays: a fresh one costs hundreds of page faults fewer.
void use_large_pages(void* p, size_t bytes) {
#if defined(__linux__)
  constexpr size_t page = size_t(2) << 20;
  const size_t begin = (size_t(p) + page - 1) / page * page, end = (size_t(p) + bytes) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)p, (void)bytes;
#endif
}

// Memory that a thread keeps from call to call.
class Workspace {
 public:
  Workspace() = default;
  Workspace(const Workspace&) = delete;
  ~Workspace() { std::free(memory_); }
  template <class T>
  T* get(size_t count) {
    const size_t bytes = (count * sizeof(T) + 4095) / 4096 * 4096;
    if (bytes > size_) {
      std::free(memory_);
      memory_ = std::aligned_alloc(4096, bytes);
      size_ = memory_ ? bytes : 0;
      use_large_pages(memory_, size_);
    }
    return static_cast<T*>(memory_);
  }

 private:
  void* memory_ = nullptr;
  size_t size_ = 0;
};
thread_local Workspace weights_space, scratch_space;

// `work(0) ... work(n - 1)`, on the threads of the pool that are free. The caller works too and waits only for what was
// begun, so that a full pool cannot block it.
template <class Work>
void parallel(ffi::ThreadPool& pool, long n, const Work& work) {
  struct State {
    std::atomic<long> next{0}, done{0};
  };
  const auto state = std::make_shared<State>();
  const auto run = [state, n, &work] {
    for (long i; (i = state->next.fetch_add(1)) < n;) {
      work(i);
      state->done.fetch_add(1, std::memory_order_release);
    }
  };
  for (long i = 1; i < std::min<long>(n, pool.num_threads()); ++i) pool.Schedule([run] { run(); });
  run();
  for (int spins = 0; state->done.load(std::memory_order_acquire) < n;)
    if (++spins > 1000) std::this_thread::yield();
}

// An argument or a result, with leading axes of members; one of length 1 where members share it.
struct Array {
  void* data = nullptr;
  ffi::AnyBuffer::Dimensions shape;
  int rank = 0;  // without members

  long size(int axis) const { return shape[shape.size() - rank + axis]; }
  // Of a member, counted in the members' shape.
  template <class T>
  T* of(long member, const std::vector<long>& members) const {
    if (!data) return nullptr;
    long offset = 0, stride = 1;
    for (int axis = 0; axis < rank; ++axis) stride *= size(axis);
    for (int axis = int(members.size()) - 1; axis >= 0; --axis) {
      if (shape[axis] > 1) offset += member % members[axis] * stride;
      stride *= shape[axis];
      member /= members[axis];
    }
    return static_cast<T*>(data) + offset;
  }
};

struct Arrays {
  std::vector<Array> in, out;
  std::vector<long> members;
  bool lstm = false;
  long count = 1;
};

// Ranks say what is expected, a negative one that the array may be empty, which stands for none.
bool parse(ffi::RemainingArgs args, ffi::RemainingRets rets, const std::vector<int>& in, const std::vector<int>& out,
           Arrays& arrays) {
  const auto add = [](std::vector<Array>& to, ffi::AnyBuffer buffer, int rank) {
    const bool none = rank < 0 && buffer.element_count() == 0;
    to.push_back({none ? nullptr : buffer.untyped_data(), buffer.dimensions(), std::abs(rank)});
    return buffer.dimensions().size() >= size_t(std::abs(rank));
  };
  if (args.size() != in.size() || rets.size() > out.size()) return false;
  for (size_t i = 0; i < in.size(); ++i)
    if (!add(arrays.in, *args.get<ffi::AnyBuffer>(i), in[i])) return false;
  for (size_t i = 0; i < rets.size(); ++i)
    if (!add(arrays.out, **rets.get<ffi::AnyBuffer>(i), out[i])) return false;
  const auto& shape = arrays.out[0].shape;
  for (size_t i = 0; i + arrays.out[0].rank < shape.size(); ++i) arrays.members.push_back(shape[i]);
  for (const long n : arrays.members) arrays.count *= n;
  for (const auto* group : {&arrays.in, &arrays.out})
    for (const Array& a : *group)
      if (a.shape.size() != arrays.members.size() + a.rank) return false;
  return true;
}

template <class T>
ffi::Error forward(ffi::ThreadPool pool, const Arrays& arrays) {
  const auto& in = arrays.in;
  const bool lstm = arrays.lstm;
  const Kernels<T>& kernel = kernels<T>(lstm);
  std::vector<Call<T>> calls(arrays.count);
  for (long m = 0; m < arrays.count; ++m) {
    const auto get = [&](const Array& a) { return a.of<T>(m, arrays.members); };
    Call<T>& a = calls[m];
    a = {};
    a.batch = in[0].size(1), a.steps = in[0].size(0), a.inputs = in[0].size(2), a.hidden = in[3].size(0);
    a.x = get(in[0]), a.valid = in[1].of<bool>(m, arrays.members);
    a.kernel = get(in[2]), a.recurrent = get(in[3]), a.bias = get(in[4]), a.h0 = get(in[5]);
    a.hs = get(arrays.out[0]), a.h = get(arrays.out[1]);
    if (lstm) a.c0 = get(in[6]), a.c = get(arrays.out[2]);
    if (arrays.out.size() > (lstm ? 3 : 2)) a.kept = get(arrays.out.back());
  }
  const Call<T>& any = calls[0];
  const size_t members = calls.size();
  use_large_pages(any.hs, members * any.batch * any.steps * any.hidden * sizeof(T));
  if (any.kept) use_large_pages(any.kept, members * any.kept_size() * sizeof(T));
  T* packed = weights_space.get<T>(members * any.packed_size());
  if (!packed) return ffi::Error(ffi::ErrorCode::kResourceExhausted, "no memory for the weights");
  for (size_t m = 0; m < members; ++m) calls[m].packed = packed + m * any.packed_size();

  const long panels = kernel.forward_panels(any);
  parallel(pool, members * panels, [&](long i) { kernel.pack_forward(calls[i / panels], i % panels); });
  const long threads = pool.num_threads(), share = (threads + members - 1) / members;
  const long blocks = std::max((any.batch + kRows - 1) / kRows, std::min(share, (any.batch + 3) / 4));
  parallel(pool, members * blocks, [&](long i) {
    const long begin = any.batch * (i % blocks) / blocks, end = any.batch * (i % blocks + 1) / blocks;
    T* scratch = scratch_space.get<T>(any.forward_scratch(end - begin));
    if (begin < end) kernel.forward(calls[i / blocks], begin, end, scratch);
  });
  return ffi::Error::Success();
}

// Rows whose derivatives of the weights are summed up together.
long group_rows(long batch) {
  if (batch <= 8) return std::min<long>(batch, 4);
  if (batch <= 32) return (batch + 1) / 2;
  return batch <= 128 ? 32 : std::max<long>(kRows, (batch + 15) / 16);
}

template <class T>
ffi::Error backward(ffi::ThreadPool pool, const Arrays& arrays) {
  const auto &in = arrays.in, &out = arrays.out;
  const bool lstm = arrays.lstm;
  const Kernels<T>& kernel = kernels<T>(lstm);
  std::vector<Call<T>> calls(arrays.count);
  for (long m = 0; m < arrays.count; ++m) {
    const auto get = [&](const Array& a) { return a.of<T>(m, arrays.members); };
    Call<T>& a = calls[m];
    a = {};
    a.batch = in[0].size(1), a.steps = in[0].size(0), a.inputs = in[0].size(2), a.hidden = in[3].size(0);
    a.x = get(in[0]), a.valid = in[1].of<bool>(m, arrays.members), a.kernel = get(in[2]), a.recurrent = get(in[3]);
    a.hs = get(in[4]), a.kept = get(in[5]), a.d_hs = get(in[6]), a.h0 = get(in[7]), a.d_h = get(in[lstm ? 9 : 8]);
    if (lstm) a.c0 = get(in[8]), a.d_c = get(in[10]);
    a.d_kernel = get(out[0]), a.d_recurrent = get(out[1]), a.d_bias = get(out[2]), a.d_h0 = get(out[3]);
    if (lstm) a.d_c0 = get(out[4]);
    if (out.size() > (lstm ? 5 : 4)) a.d_x = get(out.back());
  }
  const Call<T>& any = calls[0];
  const size_t members = calls.size();
  const long rows = group_rows(any.batch), groups = rows ? (any.batch + rows - 1) / rows : 1;
  const size_t each = any.packed_size() + groups * any.partial_size();
  T* memory = weights_space.get<T>(members * each);
  if (!memory) return ffi::Error(ffi::ErrorCode::kResourceExhausted, "no memory for the weights");
  for (size_t m = 0; m < members; ++m) {
    calls[m].packed = memory + m * each;
    calls[m].partial = calls[m].packed + any.packed_size();
  }

  const long panels = kernel.backward_panels(any);
  parallel(pool, members * panels, [&](long i) { kernel.pack_backward(calls[i / panels], i % panels); });
  parallel(pool, members * groups, [&](long i) {
    const Call<T>& a = calls[i / groups];
    const long group = i % groups, end = std::min(any.batch, (group + 1) * rows);
    std::memset(a.partial + group * any.partial_size(), 0, any.partial_size() * sizeof(T));
    T* scratch = scratch_space.get<T>(any.backward_scratch(std::min(rows, kRows)));
    for (long begin = group * rows; begin < end; begin += kRows)
      kernel.backward(a, begin, std::min(end, begin + kRows), group, scratch);
  });
  const long total = any.inputs + any.hidden + 1, part = (total + 15) / 16, parts = (total + part - 1) / part;
  parallel(pool, members * parts, [&](long i) {
    kernel.reduce(calls[i / parts], i % parts * part, std::min(total, (i % parts + 1) * part), groups);
  });
  return ffi::Error::Success();
}

template <class Function>
ffi::Error with_type(ffi::DataType type, const Function& f) {
  if (type == ffi::F32) return f(float{});
  if (type == ffi::F64) return f(double{});
  return ffi::Error::InvalidArgument("tsrnn computes float32 and float64");
}

// x, valid, kernel, recurrent, bias, h, c -> hs, h, c, kept; c for the LSTM, kept if it is asked for.
ffi::Error run_forward(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  Arrays arrays;
  arrays.lstm = args.size() == 7;
  const std::vector<int> in = {3, -2, 2, 2, 1, 2, 2}, out = {3, 2, 2, 1};
  const auto without_c = [&](std::vector<int> v, int at) { return arrays.lstm ? v : (v.erase(v.begin() + at), v); };
  if (!parse(args, rets, without_c(in, 6), without_c(out, 2), arrays))
    return ffi::Error::InvalidArgument("tsrnn's forward pass: arrays are missing or of another rank");
  return with_type(args.get<ffi::AnyBuffer>(0)->element_type(),
                   [&](auto zero) { return forward<decltype(zero)>(pool, arrays); });
}

// x, valid, kernel, recurrent, hs, kept, d_hs, h, c, d_h, d_c -> d_kernel, d_recurrent, d_bias, d_h, d_c, d_x; c for
// the LSTM, d_x if it is asked for.
ffi::Error run_backward(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  Arrays arrays;
  arrays.lstm = args.size() == 11;
  const std::vector<int> lstm_in = {3, -2, 2, 2, 3, 1, -3, 2, 2, 2, 2}, gru_in = {3, -2, 2, 2, 3, 1, -3, 2, 2};
  const std::vector<int> lstm_out = {2, 2, 1, 2, 2, 3}, gru_out = {2, 2, 1, 2, 3};
  if (!parse(args, rets, arrays.lstm ? lstm_in : gru_in, arrays.lstm ? lstm_out : gru_out, arrays))
    return ffi::Error::InvalidArgument("tsrnn's backward pass: arrays are missing or of another rank");
  return with_type(args.get<ffi::AnyBuffer>(0)->element_type(),
                   [&](auto zero) { return backward<decltype(zero)>(pool, arrays); });
}

}  // namespace
}  // namespace tsrnn

#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(tsrnn_forward, tsrnn::run_forward,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(tsrnn_backward, tsrnn::run_backward,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets());

extern "C" void tsrnn_rows(const long long* sizes, const float* weights, float* carry, const float* rows, long long n,
                           float limit, float steps, float* out) {
  tsrnn::Stream a = {long(sizes[0]), long(sizes[1]), long(sizes[2]), long(sizes[3]), long(sizes[4]), long(sizes[5]),
                     weights,        carry,          rows,           long(n),        limit,          steps,
                     out,            nullptr};
  a.scratch = tsrnn::scratch_space.get<float>(a.scratch_size());
  tsrnn::instructions().rows(a);
}

extern "C" const char* tsrnn_instructions() { return tsrnn::instructions().name; }
#pragma GCC visibility pop
