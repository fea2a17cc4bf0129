// Rows of a stream, each expected and then read, from a carried state: `run` of tsrnn/nn/online.py for an autoregression
// and a recurrent network on top of it, whose formulas are explained there. Part of kernels.cpp.
//
// Weights come with each of their rows padded to kLanes floats, see tsrnn/nn/stepping.py; so is all that is in the
// scratch. The weights of a layer are larger than the first cache, and every row reads them all: those that were read
// last are read first in the next row.

constexpr auto lanes = Stream::round;

// x W added to `out`, shapes (n), (n, width) and (width).
TSRNN_INLINE void add_product(const float* x, long n, const float* w, long width, float* out) {
  constexpr long L = Lanes<float>::count;
  for (long i = 0; i < width; i += L) {
    F sums[4] = {load(out + i)};
    const float* at = w + i;
    long k = 0;
    for (; k + 4 <= n; k += 4, at += 4 * width)
      for (int j = 0; j < 4; ++j) sums[j] += x[k + j] * load(at + j * width);
    for (; k < n; ++k, at += width) sums[0] += x[k] * load(at);
    store(out + i, (sums[0] + sums[1]) + (sums[2] + sums[3]));
  }
}

// One step of a cell; `h` and `c` become those after it.
template <int G>
void cell(const float* x, long inputs, const float* w, long hidden, bool backwards, float* h, float* c, float* next) {
  constexpr long L = Lanes<float>::count, V = kLanes / L;
  const long blocks = lanes(hidden) / kLanes, size = (inputs + hidden) * G * kLanes;
  const float* bias = w + blocks * size;
  for (long i = 0; i < blocks; ++i) {
    const long block = backwards ? blocks - 1 - i : i;
    F sums[4][V];
    for (int g = 0; g < 4; ++g)
      for (int v = 0; v < V; ++v) sums[g][v] = load(bias + (block * 4 + g) * kLanes + v * L);
    const float* at = w + block * size;
    const auto add = [&](const float* from, long n, int last) __attribute__((always_inline)) {
      for (long k = 0; k < n; ++k, at += G * kLanes) {
        TSRNN_UNROLL
        for (int g = 0; g < G; ++g) {
          TSRNN_UNROLL
          for (int v = 0; v < V; ++v) sums[g == G - 1 ? last : g][v] += from[k] * load(at + g * kLanes + v * L);
        }
      }
    };
    add(x, inputs, G - 1);
    add(h, hidden, 3);
    for (int v = 0; v < V; ++v) {
      const long u = block * kLanes + v * L;
      if constexpr (G == 4) {
        const F memory = sigmoid(sums[1][v]) * load(c + u) + sigmoid(sums[0][v]) * tanh(sums[2][v]);
        store(c + u, memory);
        store(next + u, sigmoid(sums[3][v]) * tanh(memory));
      } else {
        const F fresh = tanh(sums[2][v] + sigmoid(sums[0][v]) * sums[3][v]);
        store(next + u, fresh + sigmoid(sums[1][v]) * (load(h + u) - fresh));
      }
    }
  }
  std::memcpy(h, next, lanes(hidden) * sizeof(float));
}

void rows(const Stream& a) {
  constexpr long L = Lanes<float>::count;
  constexpr float infinity = __builtin_inff();
  const long C = lanes(a.sensors), K = lanes(a.columns), D = lanes(a.hidden), S = a.gates == 4 ? 2 : 1;
  const long head_width = lanes(2 * a.sensors), reading = 3 * a.columns + 1;

  const float* w = a.weights;
  const auto weights = [&](long n) { return w += n, w - n; };
  const float *far = weights(kLanes), *scale = weights(C), *low = weights(C), *high = weights(C), *unit = weights(K);
  const float *bias = weights(C), *linear = weights(a.order * a.columns * C);
  const float *head_bias = weights(head_width), *head = weights((2 * a.hidden + 1) * head_width), *cells = w;

  float* s = a.scratch;
  const auto scratch = [&](long n) { return s += n, s - n; };
  float *age = scratch(K), *held = scratch(C), *last = scratch(K), *states = scratch(a.layers * S * D);
  float *moves = scratch(a.order * K), *features = scratch(a.order * K), *x = scratch(K), *departure = scratch(C);
  float *raw = scratch(head_width + kLanes), *late_h = scratch(D), *read = scratch(3 * K + kLanes), *next = scratch(D);
  std::memset(a.scratch, 0, (s - a.scratch) * sizeof(float));
  const auto carried = [&](auto&& copy) {
    float* from = a.carry;
    const auto part = [&](float* at, long n) { copy(at, from, n * sizeof(float)), from += n; };
    part(age, a.columns), part(held, a.sensors), part(last, a.columns);
    for (long i = 0; i < a.layers * S; ++i) part(states + i * D, a.hidden);
    for (long i = 0; i < a.order - 1; ++i) part(moves + i * K, a.columns);
  };
  carried([](float* here, const float* there, size_t bytes) { std::memcpy(here, there, bytes); });

  for (long t = 0; t < a.n; ++t) {
    const float elapsed = a.rows[t * (1 + a.columns)];
    const F late = log(all(elapsed > 1e-3f ? elapsed : 1e-3f));
    float *h = states + (a.layers - 1) * S * D, *out = a.out + t * 3 * a.sensors;
    std::memcpy(x, a.rows + t * (1 + a.columns) + 1, a.columns * sizeof(float));

    for (long i = 0; i < K; i += L) {
      store(features + i, clamp(load(last + i), *far));
      for (long o = 1; o < a.order; ++o)
        store(features + o * K + i, clamp(load(moves + (o - 1) * K + i) / load(unit + i), *far));
    }
    std::memcpy(departure, bias, C * sizeof(float));
    for (long o = 0; o < a.order; ++o)
      add_product(features + o * K, a.columns, linear + o * a.columns * C, C, departure);
    if (a.layers) {
      for (long i = 0; i < D; i += L) store(late_h + i, late * load(h + i));
      std::memcpy(raw, head_bias, head_width * sizeof(float));
      add_product(h, a.hidden, head, head_width, raw);
      add_product(late_h, a.hidden, head + a.hidden * head_width, head_width, raw);
      for (long i = 0; i < head_width; i += L)
        store(raw + i, load(raw + i) + late * load(head + 2 * a.hidden * head_width + i));
    }

    for (long i = 0; i < C; i += L) {
      const F one = load(scale + i), now = load(age + i) + elapsed, before = load(last + i), value = load(x + i);
      const F widest = one > 1.0f ? one : all(1.0f);
      F gone = load(unit + i) * load(departure + i), width;
      for (long l = 0; l < L; ++l) width[l] = __builtin_sqrtf(now[l] > 1.0f ? now[l] : 1.0f);
      width *= one;
      width = width < widest ? width : widest;
      if (a.layers) {
        const F wider = load(raw + a.sensors + i), bound = wider > 0.0f ? all(3.0f) : all(1.5f);
        gone += one * load(raw + i);
        width *= power(bound * tanh(wider / bound) * 1.44269504088896341f);
      }
      const auto seen = load(age + i) < infinity;
      const F mean = seen ? before + gone : all(0.0f), spread = seen ? width : widest, miss = value - mean;
      const auto off = (miss < 0.0f ? -miss : miss) > a.limit * spread;
      const F old = load(held + i), longer = old < 0.0f ? (off ? all(0.0f) : all(-1.0f)) : old + elapsed;
      const F since = (value != value) | off ? longer : all(-1.0f);
      const auto holds = off & (since < a.steps);
      const F least = load(low + i), most = load(high + i), lower = least < before ? least : before;
      const F upper = most > before ? most : before, raised = mean > lower ? mean : lower;
      store(held + i, since);
      store(x + i, holds ? (raised < upper ? raised : upper) : value, a.sensors - i);
      store(out + i, mean, a.sensors - i);
      store(out + a.sensors + i, spread, a.sensors - i);
      store(out + 2 * a.sensors + i, holds ? all(1.0f) : all(0.0f), a.sensors - i);
    }

    if (a.order > 2) std::memmove(moves + K, moves, (a.order - 2) * K * sizeof(float));
    const auto symlog = [](F v) { return v < 0.0f ? -log(1.0f - v) : log(1.0f + v); };
    for (long i = 0; i < K; i += L) {
      const F value = load(x + i), before = load(last + i), old = load(age + i);
      const auto seen = value == value;
      const F move = seen & (old < infinity) ? value - before : all(0.0f);
      if (a.order > 1) store(moves + i, move);
      store(last + i, seen ? value : before);
      store(age + i, seen ? all(0.0f) : old + elapsed);
      if (!a.layers) continue;
      store(read + i, symlog(seen ? value : all(0.0f)), a.columns - i);
      store(read + a.columns + i, symlog(move / load(unit + i)), a.columns - i);
      store(read + 2 * a.columns + i, seen ? all(1.0f) : all(0.0f), a.columns - i);
    }
    read[3 * a.columns] = late[0];
    const float *from = read, *of_layer = cells;
    for (long i = 0, inputs = reading; i < a.layers; ++i, inputs = a.hidden) {
      float *own = states + i * S * D, *memory = own + D;
      if (a.gates == 4) cell<4>(from, inputs, of_layer, a.hidden, t % 2, own, memory, next);
      else cell<3>(from, inputs, of_layer, a.hidden, t % 2, own, memory, next);
      of_layer += D * ((inputs + a.hidden) * a.gates + 4);
      from = own;
    }
  }
  carried([](const float* here, float* there, size_t bytes) { std::memcpy(there, here, bytes); });
}
