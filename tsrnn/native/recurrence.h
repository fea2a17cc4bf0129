// One LSTM or GRU over whole sequences: its arrays, and the functions that compute it.
//
// kernels.cpp holds the arithmetic and is compiled once for each set of instructions; handlers.cpp holds what XLA calls,
// the threads, and the choice between the sets. Rows are contiguous and batch-major: the element (t, b, i) of `x` lies at
// x[(b * steps + t) * inputs + i].
#pragma once

#include <cstddef>

namespace tsrnn {

constexpr long kRows = 64;    // of the batch, that go through time together at most
constexpr long kStretch = 128;  // rows times steps between two additions to the derivative of the weights

template <class T>
struct Call {
  long batch, steps, inputs, hidden;
  const bool* valid;  // [B, T] or null: false where a step is padding
  const T *x, *kernel, *recurrent, *bias, *h0, *c0;
  T *hs, *h, *c;  // hs is an output of the forward pass and an input of the backward pass
  T* kept;        // [T, B, 5 or 4, padded]: activated gates and memory of every step; null for inference
  const T *d_h, *d_c, *d_hs;                                 // derivatives of the results; d_hs may be null
  T *d_kernel, *d_recurrent, *d_bias, *d_h0, *d_c0, *d_x;  // of the arguments; d_x may be null
  T *packed, *partial;  // weights as the products read them; sums of the weights' derivatives, one of a group of rows

  static long round(long n) { return (n + 64 / sizeof(T) - 1) / (64 / sizeof(T)) * (64 / sizeof(T)); }
  long padded() const { return round(hidden); }
  long width() const { return round(inputs + padded()) + 16; }  // of a row [x, h]; no power of two
  long stretch(long rows) const { return steps * rows < kStretch ? steps : rows < kStretch ? kStretch / rows : 1; }
  size_t kept_size() const { return size_t(steps) * batch * (c0 ? 5 : 4) * padded(); }
  size_t partial_size() const { return size_t(inputs + hidden + 1) * 4 * padded(); }
  size_t packed_size() const { return size_t(4) * padded() * (round(inputs) + padded() + 1); }
  size_t forward_scratch(long rows) const { return rows * size_t(2 * width() + padded()); }
  size_t backward_scratch(long rows) const {
    return rows * (stretch(rows) * size_t(4 * padded() + width()) + 4 * padded() + round(inputs));
  }
};

template <class T>
struct Kernels {
  void (*pack_forward)(const Call<T>&, long panel);
  void (*forward)(const Call<T>&, long begin, long end, T* scratch);
  void (*pack_backward)(const Call<T>&, long panel);
  void (*backward)(const Call<T>&, long begin, long end, long group, T* scratch);
  void (*reduce)(const Call<T>&, long begin, long end, long groups);  // rows of [kernel; recurrent; bias]
  long (*forward_panels)(const Call<T>&);
  long (*backward_panels)(const Call<T>&);
};

constexpr long kLanes = 16;  // floats to which the weights of a stream are padded
constexpr long kTile = 12;   // rows of a stream that are read together

// Rows of a stream from a carried state; see rows.h.
struct Stream {
  long sensors, columns, order, layers, gates, hidden;
  const float* weights;
  float* carry;  // from the row before, and to the next
  const float* rows;
  long n;
  float limit, steps;  // of holding
  float *out, *scratch;

  static long round(long n) { return (n + kLanes - 1) / kLanes * kLanes; }
  size_t scratch_size() const {
    const long of_sensors = round(sensors) + round(2 * sensors), of_units = 5 * kTile + 2 * layers * (kTile + 1);
    return ((kTile + 2) * order + 8 * kTile + 2) * round(columns) + (kTile + 1) * of_sensors +
           (2 * kTile + 8) * kLanes + of_units * round(hidden);
  }
};

struct Instructions {
  const char* name;
  bool (*supported)();
  Kernels<float> single_lstm, single_gru;
  Kernels<double> double_lstm, double_gru;
  void (*rows)(const Stream&);
};

}  // namespace tsrnn
