// The arithmetic of recurrence.h. No function of a library but memcpy, memset and tanh is used, so that none is compiled
// with instructions that the machine may not have.
//
// A product of a block of rows with weights keeps its results in registers, rows times vectors; weights are packed so
// that it reads them in order. What is computed of a row does not depend on the rows beside it.
#include "recurrence.h"

#include <cmath>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#define TSRNN_NAME avx512
#define TSRNN_BYTES 64
#define TSRNN_TILE 24
#elif defined(__AVX2__)
#include <immintrin.h>
#define TSRNN_NAME avx2
#define TSRNN_BYTES 32
#define TSRNN_TILE 12
#else
#define TSRNN_NAME portable
#define TSRNN_BYTES 16
#if defined(__aarch64__)
#define TSRNN_TILE 24
#else
#define TSRNN_TILE 12
#endif
#endif

#define TSRNN_PASTE_(a, b) a##b
#define TSRNN_PASTE(a, b) TSRNN_PASTE_(a, b)
#define TSRNN_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define TSRNN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TSRNN_UNROLL _Pragma("GCC unroll 24")
#endif

namespace tsrnn {
namespace {

template <class T>
struct Lanes;
template <>
struct Lanes<float> {
  typedef float Vector __attribute__((vector_size(TSRNN_BYTES)));
  static constexpr long count = TSRNN_BYTES / sizeof(float);
};
template <>
struct Lanes<double> {
  typedef double Vector __attribute__((vector_size(TSRNN_BYTES)));
  static constexpr long count = TSRNN_BYTES / sizeof(double);
};
template <class T>
using Vec = typename Lanes<T>::Vector;
using F = Vec<float>;
using D = Vec<double>;

template <class T>
TSRNN_INLINE Vec<T> load(const T* p) {
  Vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
TSRNN_INLINE void store(T* p, Vec<T> v) {
  std::memcpy(p, &v, sizeof v);
}
template <class T>
TSRNN_INLINE Vec<T> load(const T* p, long n) {  // the first n lanes, zero beyond
  if (n >= Lanes<T>::count) return load(p);
  Vec<T> v{};
  for (long i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
template <class T>
TSRNN_INLINE void store(T* p, Vec<T> v, long n) {
  if (n >= Lanes<T>::count) return store(p, v);
  for (long i = 0; i < n; ++i) p[i] = v[i];
}
template <class T>
TSRNN_INLINE Vec<T> all(T x) {
  return x - Vec<T>{};
}

// Within -end and end; NaN stays NaN.
TSRNN_INLINE F clamp(F x, float end) {
#if defined(__AVX512F__)
  return (F)_mm512_max_ps(_mm512_set1_ps(-end), _mm512_min_ps(_mm512_set1_ps(end), (__m512)x));
#elif defined(__AVX2__)
  return (F)_mm256_max_ps(_mm256_set1_ps(-end), _mm256_min_ps(_mm256_set1_ps(end), (__m256)x));
#else
  x = x > all(end) ? all(end) : x;
  return x < all(-end) ? all(-end) : x;
#endif
}

TSRNN_INLINE F divide(F p, F q) {
#if defined(__AVX512F__)
  const F r = (F)_mm512_rcp14_ps((__m512)q);
  return p * (r + r * (1.0f - q * r));
#else
  return p / q;
#endif
}

// A rational function with the coefficients of Eigen and XLA: at most 3e-7 from tanh.
TSRNN_INLINE F tanh(F x) {
  x = clamp(x, 7.90531110763549805f);
  const F y = x * x;
  F p = all(-2.76076847742355e-16f) * y + all(2.00018790482477e-13f);
  p = p * y + all(-8.60467152213735e-11f);
  p = p * y + all(5.12229709037114e-08f);
  p = p * y + all(1.48572235717979e-05f);
  p = p * y + all(6.37261928875436e-04f);
  p = p * y + all(4.89352455891786e-03f);
  F q = all(1.19825839466702e-06f) * y + all(1.18534705686654e-04f);
  q = q * y + all(2.26843463243900e-03f);
  q = q * y + all(4.89352518554385e-03f);
  return divide(p * x, q);
}

typedef int Whole __attribute__((vector_size(TSRNN_BYTES)));

// 2^t for t between -126 and 126, from t's whole part n as an exponent and a polynomial of the rest.
TSRNN_INLINE F power(F t) {
  const float magic = 12582912.0f + 127.0f;  // adding it rounds, and leaves n + 127 in the last bits
  const F shifted = t + magic, rest = t - (shifted - magic);
  F p = all(0.001326472731307149f) * rest + all(0.009671512991189957f);
  p = p * rest + all(0.05550733581185341f);
  p = p * rest + all(0.24022242426872253f);
  p = p * rest + all(0.6931470036506653f);
  p = p * rest + all(1.0f);
  return p * (F)((Whole)shifted << 23);
}

// At most 1.5e-7 from the logistic function, and relatively at most 1e-5; far out it is 1, so that an open gate loses
// nothing.
TSRNN_INLINE F sigmoid(F x) { return divide(all(1.0f), all(1.0f) + power(clamp(x, 87.0f) * -1.44269504088896341f)); }

// Of a positive number m 2^e, with m between 2/3 and 4/3: the series of 2 artanh((m - 1) / (m + 1)).
TSRNN_INLINE F log(F x) {
  const Whole bits = (Whole)x, exponent = (bits - 0x3f2aaaab) & ~0x7fffff;
  const F m = (F)(bits - exponent), s = (m - 1.0f) / (m + 1.0f), y = s * s;
  F p = y * (2.0f / 9) + all(2.0f / 7);
  p = p * y + all(2.0f / 5);
  p = p * y + all(2.0f / 3);
  p = p * y + all(2.0f);
  return __builtin_convertvector(exponent >> 23, F) * 0.693147180559945309f + p * s;
}

TSRNN_INLINE D tanh(D x) {
  for (long i = 0; i < Lanes<double>::count; ++i) x[i] = std::tanh(x[i]);
  return x;
}

TSRNN_INLINE D sigmoid(D x) { return tanh(x * 0.5) * 0.5 + 0.5; }

// `f(Int<n>, r)` for blocks of at most MAX rows from row `r`, as even as can be.
template <int N>
struct Int {
  static constexpr int value = N;
};
template <int N, class Function>
TSRNN_INLINE void call_with(int n, long r, const Function& f) {
  if (n == N) return f(Int<N>{}, r);
  if constexpr (N > 1) call_with<N - 1>(n, r, f);
}
template <int MAX, class Function>
TSRNN_INLINE void tiles(long rows, const Function& f) {
  for (long r = 0; r < rows;) {
    const long left = rows - r, blocks = (left + MAX - 1) / MAX;
    const int n = int((left + blocks - 1) / blocks);
    call_with<MAX>(n, r, f);
    r += n;
  }
}

// Sums over k of a[r][k] * weights[k][v], added to `sums`, the last vector to LAST.
template <class T, int V, int LAST, int R>
TSRNN_INLINE void multiply(Vec<T> (&sums)[R][4], const T* a, long stride, long k_end, const T* weights) {
  constexpr long L = Lanes<T>::count;
  for (long k = 0; k < k_end; ++k, weights += V * L) {
    Vec<T> w[V];
    TSRNN_UNROLL
    for (int v = 0; v < V; ++v) w[v] = load(weights + v * L);
    TSRNN_UNROLL
    for (int r = 0; r < R; ++r) {
      const Vec<T> x = all(a[r * stride + k]);
      TSRNN_UNROLL
      for (int v = 0; v < V; ++v) sums[r][v == V - 1 ? LAST : v] += x * w[v];
    }
  }
}

// Gates of R rows before they are activated, four vectors a row: i, f, g, o; or r, z, and n's two parts.
template <class T, int G, int R>
__attribute__((noinline)) void gates(const T* row, long stride, long inputs, long hidden, const T* weights, const T* bias,
                                     T* out) {
  constexpr long L = Lanes<T>::count;
  Vec<T> sums[R][4];
  TSRNN_UNROLL
  for (int r = 0; r < R; ++r) {
    TSRNN_UNROLL
    for (int v = 0; v < 4; ++v) sums[r][v] = load(bias + v * L);
  }
  if constexpr (G == 4) {
    multiply<T, 4, 3>(sums, row, stride, inputs + hidden, weights);
  } else {
    multiply<T, 3, 2>(sums, row, stride, inputs, weights);
    multiply<T, 3, 3>(sums, row + inputs, stride, hidden, weights + inputs * 3 * L);
  }
  TSRNN_UNROLL
  for (int r = 0; r < R; ++r) {
    TSRNN_UNROLL
    for (int v = 0; v < 4; ++v) store(out + (r * 4 + v) * L, sums[r][v]);
  }
}

template <class T>
long vectors(const Call<T>& a) {
  return (a.hidden + Lanes<T>::count - 1) / Lanes<T>::count;
}

// Weights for `gates`: for each vector of hidden units all rows of [kernel; recurrent], gate beside gate.
template <class T, int G>
void pack_forward(const Call<T>& a, long j) {
  constexpr long L = Lanes<T>::count;
  const long n = a.inputs + a.hidden, left = a.hidden - j * L;
  T* out = a.packed + 4 * a.padded() + j * n * G * L;
  for (long k = 0; k < n; ++k) {
    const T* row = k < a.inputs ? a.kernel + k * G * a.hidden : a.recurrent + (k - a.inputs) * G * a.hidden;
    for (int g = 0; g < G; ++g) store(out + (k * G + g) * L, load(row + g * a.hidden + j * L, left));
  }
  for (int g = 0; g < 4; ++g) store(a.packed + (j * 4 + g) * L, load(a.bias + g * a.hidden + j * L, left));
}

template <class T, int G>
void forward(const Call<T>& a, long begin, long end, T* scratch) {
  using V = Vec<T>;
  constexpr long L = Lanes<T>::count, S = G == 4 ? 5 : 4;
  const long rows = end - begin, n = a.inputs + a.hidden, width = a.width(), padded = a.padded(), count = vectors(a);
  T *now = scratch, *next = now + rows * width, *c = next + rows * width;
  std::memset(scratch, 0, a.forward_scratch(rows) * sizeof(T));
  for (long r = 0; r < rows; ++r) {
    std::memcpy(now + r * width + a.inputs, a.h0 + (begin + r) * a.hidden, a.hidden * sizeof(T));
    if (G == 4) std::memcpy(c + r * padded, a.c0 + (begin + r) * a.hidden, a.hidden * sizeof(T));
  }
  for (long t = 0; t < a.steps; ++t) {
    for (long r = 0; r < rows; ++r)
      std::memcpy(now + r * width, a.x + ((begin + r) * a.steps + t) * a.inputs, a.inputs * sizeof(T));
    for (long j = 0; j < count; ++j) {
      const T *weights = a.packed + 4 * padded + j * n * G * L, *bias = a.packed + j * 4 * L;
      const long left = a.hidden - j * L;
      tiles<TSRNN_TILE / 4>(rows, [&](auto size, long first) __attribute__((always_inline)) {
        constexpr int R = decltype(size)::value;
        alignas(64) T z[R * 4 * L];
        gates<T, G, R>(now + first * width, width, a.inputs, a.hidden, weights, bias, z);
        for (long i = 0; i < R; ++i) {
          const long r = first + i, b = begin + r, at = a.inputs + j * L;
          T* keep = a.kept ? a.kept + (t * a.batch + b) * S * padded + j * S * L : nullptr;
          const T* e = z + i * 4 * L;
          const V old = load(now + r * width + at);
          V h = old;
          if (!a.valid || a.valid[b * a.steps + t]) {
            if constexpr (G == 4) {
              const V in = sigmoid(load(e)), forget = sigmoid(load(e + L)), g = tanh(load(e + 2 * L));
              const V out = sigmoid(load(e + 3 * L)), memory = forget * load(c + r * padded + j * L) + in * g;
              store(c + r * padded + j * L, memory);
              h = out * tanh(memory);
              if (keep) store(keep, in), store(keep + L, forget), store(keep + 2 * L, g), store(keep + 3 * L, out);
            } else {
              const V reset = sigmoid(load(e)), z = sigmoid(load(e + L)), m = load(e + 3 * L);
              const V fresh = tanh(load(e + 2 * L) + reset * m);
              h = fresh + z * (old - fresh);
              if (keep) store(keep, reset), store(keep + L, z), store(keep + 2 * L, fresh), store(keep + 3 * L, m);
            }
          }
          if (G == 4 && keep) store(keep + 4 * L, load(c + r * padded + j * L));
          store(next + r * width + at, h);
          store(a.hs + (b * a.steps + t) * a.hidden + j * L, h, left);
        }
      });
    }
    T* swap = now;
    now = next, next = swap;
  }
  for (long r = 0; r < rows; ++r) {
    std::memcpy(a.h + (begin + r) * a.hidden, now + r * width + a.inputs, a.hidden * sizeof(T));
    if (G == 4) std::memcpy(a.c + (begin + r) * a.hidden, c + r * padded, a.hidden * sizeof(T));
  }
}

// Derivatives of a step's gates lie in slots of a vector each, for each vector of hidden units: LSTM i, f, g, o; GRU the
// recurrent part of n, r, z, the input part of n. Three or four neighbours are what a product reads, from `slot` on.
constexpr int gate_of(int gates, bool recurrent, int i) { return gates == 4 ? i : recurrent ? (i + 2) % 3 : i; }

// Transposed weights for `back`: for up to four vectors of results all gates of all hidden units.
template <class T, int G>
void pack_block(const Call<T>& a, const T* weights, long n, bool recurrent, long first, T* out) {
  constexpr long L = Lanes<T>::count;
  const long wide = (n - first + L - 1) / L < 4 ? (n - first + L - 1) / L * L : 4 * L;
  for (long j = 0; j < vectors(a); ++j, out += G * L * wide) {
    for (long e = 0; e < wide; ++e) {
      for (int s = 0; s < G; ++s) {
        const T* row = weights + (first + e) * G * a.hidden + gate_of(G, recurrent, s) * a.hidden + j * L;
        const long left = first + e < n ? a.hidden - j * L : 0;
        for (long l = 0; l < L; ++l) out[(s * L + l) * wide + e] = l < left ? row[l] : 0;
      }
    }
  }
}

template <class T>
long blocks_of(long n) {
  return (n + 4 * Lanes<T>::count - 1) / (4 * Lanes<T>::count);
}

template <class T, int G>
void pack_backward(const Call<T>& a, long block) {
  const long size = vectors(a) * Lanes<T>::count * G, wide = 4 * Lanes<T>::count, recurrent = blocks_of<T>(a.hidden);
  if (block < recurrent)
    return pack_block<T, G>(a, a.recurrent, a.hidden, true, block * wide, a.packed + block * wide * size);
  block -= recurrent;
  pack_block<T, G>(a, a.kernel, a.inputs, false, block * wide, a.packed + size * a.padded() + block * wide * size);
}

// Derivatives of R rows of gates, times transposed weights.
template <class T, int G, int R, int V>
__attribute__((noinline)) void back(const T* d, long panel, long panels, const T* weights, T* out, long stride) {
  constexpr long L = Lanes<T>::count;
  Vec<T> sums[R][4] = {};
  for (long j = 0; j < panels; ++j, d += panel, weights += G * L * V * L)
    multiply<T, V, V - 1>(sums, d, 4 * L, G * L, weights);
  TSRNN_UNROLL
  for (int r = 0; r < R; ++r) {
    TSRNN_UNROLL
    for (int v = 0; v < V; ++v) store(out + r * stride + v * L, sums[r][v]);
  }
}

template <class T, int G>
void back_rows(const T* d, long panel, long panels, long rows, const T* weights, long n, T* out, long stride) {
  constexpr long L = Lanes<T>::count;
  for (long first = 0; first < n; first += 4 * L) {
    const long left = (n - first + L - 1) / L;
    call_with<4>(left < 4 ? int(left) : 4, 0, [&](auto wide, long) {
      constexpr int V = decltype(wide)::value;
      tiles<TSRNN_TILE / 4>(rows, [&](auto size, long r) {
        back<T, G, decltype(size)::value, V>(d + r * 4 * L, panel, panels, weights, out + r * stride + first, stride);
      });
      weights += panels * G * L * V * L;
    });
  }
}

// R rows of the derivative of the weights: what multiplied them, times the derivatives of the gates, over `n` rows.
template <class T, int V, int R>
__attribute__((noinline)) void outer(const T* a, long stride, long n, const T* d, T* out, long out_stride) {
  constexpr long L = Lanes<T>::count;
  Vec<T> sums[R][V];
  TSRNN_UNROLL
  for (int r = 0; r < R; ++r) {
    TSRNN_UNROLL
    for (int v = 0; v < V; ++v) sums[r][v] = load(out + r * out_stride + v * L);
  }
  for (long k = 0; k < n; ++k, a += stride, d += 4 * L) {
    Vec<T> w[V];
    TSRNN_UNROLL
    for (int v = 0; v < V; ++v) w[v] = load(d + v * L);
    TSRNN_UNROLL
    for (int r = 0; r < R; ++r) {
      const Vec<T> x = all(a[r]);
      TSRNN_UNROLL
      for (int v = 0; v < V; ++v) sums[r][v] += x * w[v];
    }
  }
  TSRNN_UNROLL
  for (int r = 0; r < R; ++r) {
    TSRNN_UNROLL
    for (int v = 0; v < V; ++v) store(out + r * out_stride + v * L, sums[r][v]);
  }
}

template <class T, int G>
void backward(const Call<T>& a, long begin, long end, long group, T* scratch) {
  using V = Vec<T>;
  constexpr long L = Lanes<T>::count, S = G == 4 ? 5 : 4;
  const long rows = end - begin, padded = a.padded(), width = a.width(), wide = Call<T>::round(a.inputs), H = a.hidden;
  const long count = vectors(a), stretch = a.stretch(rows), panel = stretch * rows * 4 * L, size = count * L * G;
  const bool passes = G == 3 || a.valid;  // part of the derivative of the state that goes round the product
  T* sums = a.partial + group * a.partial_size();
  T* bias = sums + (a.inputs + H) * 4 * padded;
  T *d_gates = scratch, *inputs = d_gates + stretch * rows * 4 * padded, *dh = inputs + stretch * rows * width;
  T *dc = dh + rows * padded, *pass = dc + rows * padded, *c0 = pass + rows * padded, *dx = c0 + rows * padded;
  std::memset(dh, 0, rows * 4 * padded * sizeof(T));
  for (long r = 0; r < rows; ++r) {
    std::memcpy(dh + r * padded, a.d_h + (begin + r) * H, H * sizeof(T));
    if (G == 4) std::memcpy(dc + r * padded, a.d_c + (begin + r) * H, H * sizeof(T));
    if (G == 4) std::memcpy(c0 + r * padded, a.c0 + (begin + r) * H, H * sizeof(T));
    if (G == 3) std::memcpy(c0 + r * padded, a.h0 + (begin + r) * H, H * sizeof(T));
  }
  for (long t = a.steps - 1, at = 0; t >= 0; --t) {
    T* d = d_gates + at * rows * 4 * L;
    for (long j = 0; j < count; ++j) {
      V b0 = load(bias + j * 4 * L), b1 = load(bias + j * 4 * L + L), b2 = load(bias + j * 4 * L + 2 * L);
      V b3 = load(bias + j * 4 * L + 3 * L);
      for (long r = 0; r < rows; ++r) {
        const long b = begin + r, row = r * padded + j * L;
        const T* keep = a.kept + (t * a.batch + b) * S * padded + j * S * L;
        T* out = d + j * panel + r * 4 * L;
        V g = load(dh + row), d0{}, d1{}, d2{}, d3{};
        if (passes) g += load(pass + row);
        if (a.d_hs) g += load(a.d_hs + (b * a.steps + t) * H + j * L, H - j * L);
        if (a.valid && !a.valid[b * a.steps + t]) {
          store(pass + row, g);
        } else if constexpr (G == 4) {
          const V in = load(keep), forget = load(keep + L), fresh = load(keep + 2 * L), gate = load(keep + 3 * L);
          const V old = load(t ? keep - a.batch * S * padded + 4 * L : c0 + row), c = tanh(load(keep + 4 * L));
          const V memory = load(dc + row) + g * gate * (1 - c * c);
          d0 = memory * fresh * in * (1 - in);
          d1 = memory * old * forget * (1 - forget);
          d2 = memory * in * (1 - fresh * fresh);
          d3 = g * c * gate * (1 - gate);
          store(dc + row, memory * forget);
          if (passes) store(pass + row, V{});
        } else {
          const V reset = load(keep), z = load(keep + L), fresh = load(keep + 2 * L), m = load(keep + 3 * L);
          const V old = t ? load(a.hs + (b * a.steps + t - 1) * H + j * L, H - j * L) : load(c0 + row);
          d3 = g * (1 - z) * (1 - fresh * fresh);
          d0 = d3 * reset;
          d1 = d3 * m * reset * (1 - reset);
          d2 = g * (old - fresh) * z * (1 - z);
          store(pass + row, g * z);
        }
        store(out, d0), store(out + L, d1), store(out + 2 * L, d2), store(out + 3 * L, d3);
        b0 += d0, b1 += d1, b2 += d2, b3 += d3;
      }
      store(bias + j * 4 * L, b0), store(bias + j * 4 * L + L, b1), store(bias + j * 4 * L + 2 * L, b2);
      store(bias + j * 4 * L + 3 * L, b3);
    }
    back_rows<T, G>(d, panel, count, rows, a.packed, H, dh, padded);
    if (a.d_x) back_rows<T, G>(d + (4 - G) * L, panel, count, rows, a.packed + size * padded, a.inputs, dx, wide);
    for (long r = 0; r < rows; ++r) {
      const long b = begin + r, from = b * a.steps + t;
      T* row = inputs + (at * rows + r) * width;
      std::memcpy(row, a.x + from * a.inputs, a.inputs * sizeof(T));
      std::memcpy(row + a.inputs, t ? a.hs + (from - 1) * H : a.h0 + b * H, H * sizeof(T));
      if (a.d_x) std::memcpy(a.d_x + from * a.inputs, dx + r * wide, a.inputs * sizeof(T));
    }
    if (++at < stretch && t > 0) continue;
    const long n = at * rows, first = G == 3 ? a.inputs : 0, total = a.inputs + H;
    for (long j = 0; j < count; ++j) {
      const T* gates = d_gates + j * panel;
      T* to = sums + j * 4 * L;
      if (G == 3)
        tiles<TSRNN_TILE / 3>(a.inputs, [&](auto size, long m) {
          outer<T, G, decltype(size)::value>(inputs + m, width, n, gates + L, to + m * 4 * padded + L, 4 * padded);
        });
      tiles<TSRNN_TILE / G>(total - first, [&](auto size, long m) {
        m += first;
        outer<T, G, decltype(size)::value>(inputs + m, width, n, gates, to + m * 4 * padded, 4 * padded);
      });
    }
    at = 0;
  }
  for (long r = 0; r < rows; ++r) {
    if (passes)
      for (long i = 0; i < H; ++i) dh[r * padded + i] += pass[r * padded + i];
    std::memcpy(a.d_h0 + (begin + r) * H, dh + r * padded, H * sizeof(T));
    if (G == 4) std::memcpy(a.d_c0 + (begin + r) * H, dc + r * padded, H * sizeof(T));
  }
}

template <class T, int G>
void reduce(const Call<T>& a, long begin, long end, long groups) {
  constexpr long L = Lanes<T>::count;
  const long n = a.inputs + a.hidden;
  for (long k = begin; k < end; ++k) {
    T* out = k < a.inputs ? a.d_kernel + k * G * a.hidden : a.d_recurrent + (k - a.inputs) * G * a.hidden;
    if (k == n) out = a.d_bias;
    for (long j = 0; j < vectors(a); ++j) {
      for (int s = 0; s < 4; ++s) {
        const int gate = G == 4 ? s : k == n ? (s + 3) % 4 : k < a.inputs ? s - 1 : s == 3 ? -1 : gate_of(G, true, s);
        if (gate < 0) continue;
        const T* from = a.partial + (k * a.padded() + j * L) * 4 + s * L;
        Vec<T> sum = load(from);
        for (long i = 1; i < groups; ++i) sum += load(from + i * a.partial_size());
        store(out + gate * a.hidden + j * L, sum, a.hidden - j * L);
      }
    }
  }
}

template <class T>
long backward_panels(const Call<T>& a) {
  return blocks_of<T>(a.hidden) + (a.d_x ? blocks_of<T>(a.inputs) : 0);
}

#include "rows.h"

template <class T, int G>
constexpr Kernels<T> kernels = {pack_forward<T, G>, forward<T, G>, pack_backward<T, G>,  backward<T, G>,
                                reduce<T, G>,       vectors<T>,    backward_panels<T>};

bool supported() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

}  // namespace

#define TSRNN_STRING_(a) #a
#define TSRNN_STRING(a) TSRNN_STRING_(a)
extern const Instructions TSRNN_NAME;
const Instructions TSRNN_NAME = {TSRNN_STRING(TSRNN_NAME), supported, kernels<float, 4>, kernels<float, 3>,
                                 kernels<double, 4>, kernels<double, 3>, rows};

}  // namespace tsrnn
