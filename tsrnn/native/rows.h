// Rows of a stream, each expected and then read, from a carried state: `run` of tsrnn/nn/online.py for an autoregression
// and a recurrent network on top of it, whose formulas are explained there. Part of kernels.cpp.
//
// A row has to wait for the one before it, and the weights of a layer are larger than the first cache. So a tile of rows
// is read as if all were believed: what their inputs have to do with weights is one product, and only the recurrent
// weights are read row by row, those first that the row before read last. Then each row is compared with what was
// expected of it; from one that is not believed on, the tile is read anew. What is computed of a row does not depend on
// where it stands in a tile. Arrays in the scratch and rows of weights are padded to kLanes floats; see
// tsrnn/nn/stepping.py.

constexpr auto lanes = Stream::round;
constexpr long kParts = kLanes / Lanes<float>::count;  // vectors

// X W added to `out`, shapes (rows, n), (n, width) and (rows, width).
TSRNN_INLINE void add_product(const float* x, long stride, long rows, long n, const float* w, long width, float* out) {
  constexpr long L = Lanes<float>::count;
  for (long i = 0; i < width; i += L) {
    tiles<TSRNN_TILE / 4>(rows, [&](auto size, long first) __attribute__((always_inline)) {
      constexpr int R = decltype(size)::value;
      F sums[R][4] = {};
      const float *at = w + i, *from = x + first * stride;
      long k = 0;
      for (; k + 4 <= n; k += 4, at += 4 * width) {
        TSRNN_UNROLL
        for (int r = 0; r < R; ++r) {
          TSRNN_UNROLL
          for (int j = 0; j < 4; ++j) sums[r][j] += from[r * stride + k + j] * load(at + j * width);
        }
      }
      for (; k < n; ++k, at += width) {
        TSRNN_UNROLL
        for (int r = 0; r < R; ++r) sums[r][0] += from[r * stride + k] * load(at);
      }
      TSRNN_UNROLL
      for (int r = 0; r < R; ++r) {
        float* to = out + (first + r) * width + i;
        store(to, load(to) + ((sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3])));
      }
    });
  }
}

// Weights of a layer: of each block of kLanes hidden units the rows of [kernel; recurrent], gate beside gate; then the
// biases, of each block four parts.
struct Layer {
  long inputs, hidden;
  const float* weights;

  long blocks() const { return lanes(hidden) / kLanes; }
  const float* block(int gates, long i) const { return weights + i * (inputs + hidden) * gates * kLanes; }
  const float* bias(int gates) const { return block(gates, blocks()); }
  const float* end(int gates) const { return bias(gates) + 4 * lanes(hidden); }
};

// Products of n numbers with a block of weights, added to the gates of R rows; the last gate is `LAST` of four.
template <int G, int LAST, int R>
TSRNN_INLINE void add_gates(const float* x, long stride, long n, const float* w, F (&sums)[R][4][kParts]) {
  constexpr long L = Lanes<float>::count, V = kParts;
  for (long k = 0; k < n; ++k, w += G * kLanes) {
    TSRNN_UNROLL
    for (int r = 0; r < R; ++r) {
      const F from = all(x[r * stride + k]);
      TSRNN_UNROLL
      for (int g = 0; g < G; ++g) {
        TSRNN_UNROLL
        for (int v = 0; v < V; ++v) sums[r][g == G - 1 ? LAST : g][v] += from * load(w + g * kLanes + v * L);
      }
    }
  }
}

// Biases and what the inputs of some rows give to their gates, (rows, blocks, 4, kLanes).
template <int G>
void project(const Layer& layer, const float* x, long stride, long rows, float* out) {
  constexpr long L = Lanes<float>::count, V = kParts;
  constexpr int most = TSRNN_TILE < 8 * V ? 1 : TSRNN_TILE / (4 * V);
  for (long block = 0; block < layer.blocks(); ++block) {
    tiles<most>(rows, [&](auto size, long first) __attribute__((always_inline)) {
      constexpr int R = decltype(size)::value;
      F sums[R][4][V];
      for (int r = 0; r < R; ++r)
        for (int i = 0; i < 4 * V; ++i) sums[r][i / V][i % V] = load(layer.bias(G) + block * 4 * kLanes + i * L);
      add_gates<G, G - 1, R>(x + first * stride, stride, layer.inputs, layer.block(G, block), sums);
      for (int r = 0; r < R; ++r)
        for (int i = 0; i < 4 * V; ++i)
          store(out + ((first + r) * layer.blocks() + block) * 4 * kLanes + i * L, sums[r][i / V][i % V]);
    });
  }
}

// One step of a cell from what its inputs gave.
template <int G>
void cell(const Layer& layer, const float* given, bool backwards, const float* h, const float* c, float* h_next,
          float* c_next) {
  constexpr long L = Lanes<float>::count, V = kParts;
  for (long i = 0, n = layer.blocks(); i < n; ++i) {
    const long block = backwards ? n - 1 - i : i;
    F sums[1][4][V];
    for (int j = 0; j < 4 * V; ++j) sums[0][j / V][j % V] = load(given + block * 4 * kLanes + j * L);
    add_gates<G, 3, 1>(h, 0, layer.hidden, layer.block(G, block) + layer.inputs * G * kLanes, sums);
    for (int v = 0; v < V; ++v) {
      const long u = block * kLanes + v * L;
      const auto gate = [&](int g) { return sums[0][g][v]; };
      if constexpr (G == 4) {
        const F memory = sigmoid(gate(1)) * load(c + u) + sigmoid(gate(0)) * tanh(gate(2));
        store(c_next + u, memory);
        store(h_next + u, sigmoid(gate(3)) * tanh(memory));
      } else {
        const F fresh = tanh(gate(2) + sigmoid(gate(0)) * gate(3));
        store(h_next + u, fresh + sigmoid(gate(1)) * (load(h + u) - fresh));
      }
    }
  }
}

class Reader {
 public:
  explicit Reader(const Stream& a)
      : a(a), C(lanes(a.sensors)), K(lanes(a.columns)), D(lanes(a.hidden)), S(a.gates == 4 ? 2 : 1), past(a.order - 1) {
    const float* w = a.weights;
    const auto weights = [&](long n) { return w += n, w - n; };
    far = *weights(kLanes), scale = weights(C), low = weights(C), high = weights(C), unit = weights(K);
    bias = weights(C), linear = weights(a.order * a.columns * C), head_bias = weights(head_width());
    head = weights((2 * a.hidden + 1) * head_width()), cells = w;
    float* s = a.scratch;
    const auto scratch = [&](long n) { return s += n, s - n; };
    age = scratch((kTile + 1) * K), last = scratch((kTile + 1) * K), held = scratch(C), x = scratch(kTile * K);
    moves = scratch((past + kTile) * K), clipped = scratch((past + kTile) * K);
    features = scratch(kTile * feature_width()), departure = scratch(kTile * C);
    raw = scratch(kTile * head_width() + kLanes), late_h = scratch(kTile * D);
    elapsed = scratch(lanes(kTile)), late = scratch(lanes(kTile)), read = scratch(kTile * read_width());
    given = scratch(kTile * 4 * D), states = scratch(a.layers * (kTile + 1) * S * D);
    std::memset(a.scratch, 0, (s - a.scratch) * sizeof(float));
  }

  void run() {
    carried(0, [](float* here, const float* there, size_t bytes) { std::memcpy(here, there, bytes); });
    for (long i = 0; i < past * K; i += L) store(clipped + i, clamp(load(moves + i) / load(unit + i % K), far));
    for (long t = 0; t < a.n; t += kTile) {
      const long rows = a.n - t < kTile ? a.n - t : kTile, width = 1 + a.columns;
      for (long r = 0; r < rows; ++r) {
        elapsed[r] = a.rows[(t + r) * width];
        std::memcpy(x + r * K, a.rows + (t + r) * width + 1, a.columns * sizeof(float));
      }
      for (long i = 0; i < lanes(kTile); i += L) {
        const F time = load(elapsed + i);
        store(late + i, log(time > 1e-3f ? time : all(1e-3f)));
      }
      bool holds = false;
      for (long r = 0, known = 0; r < rows; ++r) {
        if (known == r) {
          if (!holds) feed(r, rows), known = rows;
          foresee(r, holds ? r + 1 : rows);
        }
        holds = expect(r, a.out + (t + r) * 3 * a.sensors);
        if (holds || known == r) feed(r, r + 1), known = r + 1;
      }
      move(rows);
    }
    carried(0, [](const float* here, float* there, size_t bytes) { std::memcpy(there, here, bytes); });
  }

 private:
  static constexpr long L = Lanes<float>::count;
  static constexpr float infinity = __builtin_inff();

  long head_width() const { return lanes(2 * a.sensors); }
  long feature_width() const { return a.order * K + kLanes; }
  long read_width() const { return lanes(3 * K + kLanes); }
  float* state(long layer, long r) const { return states + (layer * (kTile + 1) + r) * S * D; }

  // What is carried, in the order of its names, with what there is before row `r`.
  template <class Copy>
  void carried(long r, const Copy& copy) const {
    float* there = a.carry;
    const auto part = [&](float* here, long n) { copy(here, there, n * sizeof(float)), there += n; };
    part(age + r * K, a.columns), part(held, a.sensors), part(last + r * K, a.columns);
    for (long i = 0; i < a.layers * S; ++i) part(state(i / S, r) + i % S * D, a.hidden);
    for (long i = past - 1; i >= 0; --i) part(moves + (r + i) * K, a.columns);
  }

  // What there is after so many rows becomes what there is before a tile.
  void move(long rows) const {
    const auto part = [](float* to, const float* from, long n) { std::memmove(to, from, n * sizeof(float)); };
    part(age, age + rows * K, K), part(last, last + rows * K, K);
    part(moves, moves + rows * K, past * K), part(clipped, clipped + rows * K, past * K);
    for (long i = 0; i < a.layers; ++i) part(state(i, 0), state(i, rows), S * D);
  }

  // Departures of rows, from what is carried to them.
  void foresee(long first, long end) const {
    const long n = a.order * a.columns, rows = end - first, stride = S * D, width = head_width();
    for (long r = first; r < end; ++r) {
      float* to = features + r * feature_width();
      for (long i = 0; i < K; i += L) store(to + i, clamp(load(last + r * K + i), far));
      for (long o = 1; o < a.order; ++o)
        for (long i = 0; i < K; i += L) store(to + o * a.columns + i, load(clipped + (past + r - o) * K + i));
      std::memcpy(departure + r * C, bias, C * sizeof(float));
    }
    add_product(features + first * feature_width(), feature_width(), rows, n, linear, C, departure + first * C);
    if (!a.layers) return;
    const float* h = state(a.layers - 1, first);
    for (long r = first; r < end; ++r) {
      for (long i = 0; i < D; i += L) store(late_h + r * D + i, late[r] * load(h + (r - first) * stride + i));
      std::memcpy(raw + r * width, head_bias, width * sizeof(float));
    }
    add_product(h, stride, rows, a.hidden, head, width, raw + first * width);
    add_product(late_h + first * D, D, rows, a.hidden, head + a.hidden * width, width, raw + first * width);
    add_product(late + first, 1, rows, 1, head + 2 * a.hidden * width, width, raw + first * width);
  }

  // Mean and scale of a row, and whether it is believed; where it is not, the mean takes its place.
  bool expect(long r, float* out) const {
    const float *before = last + r * K, *since = age + r * K, *own = raw + r * head_width();
    float* row = x + r * K;
    bool any = false;
    for (long i = 0; i < C; i += L) {
      const F one = load(scale + i), now = load(since + i) + elapsed[r], old = load(before + i), value = load(row + i);
      const F widest = one > 1.0f ? one : all(1.0f);
      F gone = load(unit + i) * load(departure + r * C + i), width = now > 1.0f ? now : all(1.0f);
      for (long l = 0; l < L; ++l) width[l] = __builtin_sqrtf(width[l]);
      width *= one;
      width = width < widest ? width : widest;
      if (a.layers) {
        const F wider = load(own + a.sensors + i), bound = wider > 0.0f ? all(3.0f) : all(1.5f);
        gone += one * load(own + i);
        width *= power(bound * tanh(wider / bound) * 1.44269504088896341f);
      }
      const auto seen = load(since + i) < infinity;
      const F mean = seen ? old + gone : all(0.0f), spread = seen ? width : widest, miss = value - mean;
      const auto off = (miss < 0.0f ? -miss : miss) > a.limit * spread;
      const F was = load(held + i), longer = was < 0.0f ? (off ? all(0.0f) : all(-1.0f)) : was + elapsed[r];
      const F is = (value != value) | off ? longer : all(-1.0f), least = load(low + i), most = load(high + i);
      const auto holds = off & (is < a.steps);
      const F lower = least < old ? least : old, upper = most > old ? most : old, raised = mean > lower ? mean : lower;
      store(held + i, is);
      store(row + i, holds ? (raised < upper ? raised : upper) : value, a.sensors - i);
      store(out + i, mean, a.sensors - i);
      store(out + a.sensors + i, spread, a.sensors - i);
      store(out + 2 * a.sensors + i, holds ? all(1.0f) : all(0.0f), a.sensors - i);
    }
    for (long i = 0; i < a.sensors; ++i) any |= out[2 * a.sensors + i] != 0;
    return any;
  }

  // What is carried after rows.
  void feed(long first, long end) const {
    const auto symlog = [](F v) { return v < 0.0f ? -log(1.0f - v) : log(1.0f + v); };
    for (long r = first; r < end; ++r) {
      float* to = read + r * read_width();
      for (long i = 0; i < K; i += L) {
        const F value = load(x + r * K + i), before = load(last + r * K + i), since = load(age + r * K + i);
        const auto seen = value == value;
        const F move = seen & (since < infinity) ? value - before : all(0.0f);
        const F units = move / load(unit + i);
        store(moves + (past + r) * K + i, move);
        store(clipped + (past + r) * K + i, clamp(units, far));
        store(last + (r + 1) * K + i, seen ? value : before);
        store(age + (r + 1) * K + i, seen ? all(0.0f) : since + elapsed[r]);
        store(to + i, symlog(seen ? value : all(0.0f)), a.columns - i);
        store(to + a.columns + i, symlog(units), a.columns - i);
        store(to + 2 * a.columns + i, seen ? all(1.0f) : all(0.0f), a.columns - i);
      }
      to[3 * a.columns] = late[r];
    }
    if (a.gates == 4) layers<4>(first, end);
    else layers<3>(first, end);
  }

  template <int G>
  void layers(long first, long end) const {
    Layer layer = {3 * a.columns + 1, a.hidden, cells};
    for (long i = 0; i < a.layers; ++i, layer = {a.hidden, a.hidden, layer.end(G)}) {
      const float* from = i ? state(i - 1, first + 1) : read + first * read_width();
      project<G>(layer, from, i ? S * D : read_width(), end - first, given);
      for (long r = first; r < end; ++r) {
        float *now = state(i, r), *next = state(i, r + 1);
        cell<G>(layer, given + (r - first) * 4 * D, r % 2, now, now + D, next, next + D);
      }
    }
  }

  const Stream& a;
  const long C, K, D, S, past;  // padded numbers of sensors, columns, units; arrays in a state; moves that are carried
  float far;
  const float *scale, *low, *high, *unit, *bias, *linear, *head_bias, *head, *cells;
  float *age, *last, *held, *x, *moves, *clipped, *features, *departure, *raw, *late_h, *elapsed, *late, *read, *given;
  float* states;
};

void rows(const Stream& a) { Reader(a).run(); }
