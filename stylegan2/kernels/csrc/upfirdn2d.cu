// upfirdn2d on CUDA.
#include "cuda.h"

namespace stylegan2 {
namespace {

// Handles any filter. Each thread computes one output value.
template <typename T>
struct AnyFilter {
  using A = typename Accumulate<T>::type;

  Geometry g;
  Filter<A> filter;
  const T* x;
  T* y;
  int64_t size;

  SG2_FUNCTION void operator()(int64_t block, int thread) const {
    const int64_t i = block * THREADS + thread;
    if (i >= size) return;
    const int64_t channel = i % g.inner, ox = i / g.inner % g.out_width;
    const int64_t row = i / g.inner / g.out_width, oy = row % g.out_height, image = row / g.out_height;
    y[i] = static_cast<T>(
        filter_pixel(x + image * g.height * g.width * g.inner, filter, g, oy, ox, channel));
  }
};

// Handles filters of 4×4 taps that up-sample both axes by 2, down-sample both by 2, or do neither. Each
// thread computes ROWS output rows of one column, for V channels if channels last. It keeps the last
// horizontally filtered input rows in registers. So every input value is read from memory once, and from the
// cache four times (twice if up-sampling).
template <typename T, int V, int UP, int DOWN>
struct FourTaps {
  using A = typename Accumulate<T>::type;
  static constexpr int ROWS = 16;
  static constexpr int COLUMNS = UP == 2 ? 2 : 4;  // input columns that an output column reads

  Geometry g;
  Filter<A> filter;
  const T* x;
  T* y;
  int64_t lanes, strips, threads;
  int shift;  // rows by which the first strip starts above the image, so that all strips have the same phase

  struct Row {
    A v[V];
  };

  SG2_FUNCTION void operator()(int64_t block, int thread) const {
    const int64_t id = block * THREADS + thread;
    if (id >= threads) return;
    const int64_t lane = id % lanes, strip = id / lanes % strips, image = id / lanes / strips;
    const int64_t packs = g.inner / V, ox = lane / packs, channel = lane % packs * V;
    const int64_t oy = strip * ROWS - shift;
    const T* from = x + image * g.height * g.width * g.inner + channel;
    T* to = y + (image * g.out_height * g.out_width + ox) * g.inner + channel;

    A taps[16], column[4], row[4];
#pragma unroll
    for (int i = 0; i < 16; ++i) taps[i] = filter(i / 4, i % 4);
    if (!separate(taps, 4, 4, 1, 1, column, row)) return one_by_one(from, to, oy, ox);

    const Reach r = reach(ox, UP, DOWN, g.pad_x);
    if (UP == 2) {
      row[0] = r.tap ? row[1] : row[0];
      row[1] = r.tap ? row[3] : row[2];
    }
    if (UP == 2) {
      int64_t iy = (oy - g.pad_y) / 2;
      Row above = filtered(from, iy, r.input, row), here = filtered(from, iy + 1, r.input, row);
#pragma unroll 4
      for (int k = 0; k < ROWS; k += 2, ++iy) {
        const Row below = filtered(from, iy + 2, r.input, row);
        Row even, odd;
#pragma unroll
        for (int j = 0; j < V; ++j) {
          even.v[j] = column[0] * above.v[j] + column[2] * here.v[j];
          odd.v[j] = column[1] * here.v[j] + column[3] * below.v[j];
        }
        store(to, oy + k, even);
        store(to, oy + k + 1, odd);
        above = here;
        here = below;
      }
    } else {
      int64_t iy = oy * DOWN - g.pad_y;
      Row window[4];
#pragma unroll
      for (int k = DOWN; k < 4; ++k) window[k] = filtered(from, iy + k - DOWN, r.input, row);
      iy += 4 - DOWN;
#pragma unroll 4
      for (int k = 0; k < ROWS; ++k, iy += DOWN) {
#pragma unroll
        for (int i = 0; i < 4 - DOWN; ++i) window[i] = window[i + DOWN];
#pragma unroll
        for (int i = 0; i < DOWN; ++i) window[4 - DOWN + i] = filtered(from, iy + i, r.input, row);
        Row sum;
#pragma unroll
        for (int j = 0; j < V; ++j)
          sum.v[j] = column[0] * window[0].v[j] + column[1] * window[1].v[j] + column[2] * window[2].v[j] +
              column[3] * window[3].v[j];
        store(to, oy + k, sum);
      }
    }
  }

  // Applies the horizontal filter to input row iy, from input column ix on.
  SG2_FUNCTION Row filtered(const T* from, int64_t iy, int64_t ix, const A* row) const {
    Row sum;
#pragma unroll
    for (int j = 0; j < V; ++j) sum.v[j] = A(0);
    if (iy < 0 || iy >= g.height) return sum;
    const T* line = from + (iy * g.width + ix) * g.inner;
#pragma unroll
    for (int k = 0; k < COLUMNS; ++k) {
      if (ix + k < 0 || ix + k >= g.width) continue;
      const Pack<T, V> in = *reinterpret_cast<const Pack<T, V>*>(line + k * g.inner);
#pragma unroll
      for (int j = 0; j < V; ++j) sum.v[j] += row[k] * static_cast<A>(in.v[j]);
    }
    return sum;
  }

  SG2_FUNCTION void store(T* to, int64_t oy, const Row& sum) const {
    if (oy < 0 || oy >= g.out_height) return;
    Pack<T, V> out;
#pragma unroll
    for (int j = 0; j < V; ++j) out.v[j] = static_cast<T>(sum.v[j]);
    *reinterpret_cast<Pack<T, V>*>(to + oy * g.out_width * g.inner) = out;
  }

  // A filter that is no outer product.
  SG2_FUNCTION void one_by_one(const T* from, T* to, int64_t oy, int64_t ox) const {
    for (int k = 0; k < ROWS; ++k) {
      if (oy + k < 0 || oy + k >= g.out_height) continue;
      Row sum;
      for (int j = 0; j < V; ++j) sum.v[j] = filter_pixel(from, filter, g, oy + k, ox, j);
      store(to, oy + k, sum);
    }
  }
};

template <int UP, int DOWN, int V, typename T, typename A>
void launch_four_taps(const Geometry& g, const T* x, const Filter<A>& filter, T* y, const Tensor& like) {
  using Kernel = FourTaps<T, V, UP, DOWN>;
  const int shift = UP == 2 && g.pad_y % 2 != 0;
  const int64_t lanes = g.out_width * (g.inner / V), strips = ceil_div(g.out_height + shift, Kernel::ROWS);
  const int64_t threads = g.outer * strips * lanes;
  launch(Kernel{g, filter, x, y, lanes, strips, threads, shift}, ceil_div(threads, THREADS), like);
}

template <int UP, int DOWN, typename T, typename A>
void launch_four_taps(const Geometry& g, const T* x, const Filter<A>& filter, T* y, const Tensor& like) {
  constexpr int V = WIDE<T>;
  if (g.inner % V == 0 && aligned<T, V>(x) && aligned<T, V>(y))
    launch_four_taps<UP, DOWN, V>(g, x, filter, y, like);
  else
    launch_four_taps<UP, DOWN, 1>(g, x, filter, y, like);
}

template <typename T, typename A>
void launch_any(const Geometry& g, const T* x, const Filter<A>& filter, T* y, const Tensor& like) {
  const int64_t size = g.outer * g.out_height * g.out_width * g.inner;
  launch(AnyFilter<T>{g, filter, x, y, size}, ceil_div(size, THREADS), like);
}

}  // namespace

template <typename T>
void run_upfirdn2d(
    const Geometry& g, const T* x, const Filter<typename Accumulate<T>::type>& filter, T* y, const Tensor& like) {
  if (filter.values && g.taps_x == 4 && g.taps_y == 4 && g.upx == g.upy && g.downx == g.downy) {
    if (g.upx == 1 && g.downx == 1) return launch_four_taps<1, 1>(g, x, filter, y, like);
    if (g.upx == 2 && g.downx == 1) return launch_four_taps<2, 1>(g, x, filter, y, like);
    if (g.upx == 1 && g.downx == 2) return launch_four_taps<1, 2>(g, x, filter, y, like);
  }
  if (!filter.values || !filter.separable || g.taps_x < 4) return launch_any(g, x, filter, y, like);

  // A long separable filter is applied to one axis after the other.
  Geometry along_x = g, along_y = g;
  along_x.upy = along_x.downy = along_x.taps_y = 1;
  along_x.pad_y = 0;
  along_x.out_height = g.height;
  along_y.upx = along_y.downx = along_y.taps_x = 1;
  along_y.pad_x = 0;
  along_y.width = g.out_width;
  using A = typename Accumulate<T>::type;
  const Filter<A> horizontal{filter.values, 1, g.taps_x, false, filter.flip, filter.gain};
  const Filter<A> vertical{filter.values, g.taps_y, 1, false, filter.flip, A(1)};
  const Tensor between = new_tensor(like, {g.outer * g.height * g.out_width * g.inner}, false);
  if (between.numel() == 0) return launch_any(g, x, filter, y, like);
  T* half_way = static_cast<T*>(between.data_ptr());
  launch_any(along_x, x, horizontal, half_way, like);
  launch_any(along_y, static_cast<const T*>(half_way), vertical, y, like);
}

}  // namespace stylegan2

STABLE_TORCH_LIBRARY_IMPL(SG2_LIBRARY, SG2_DEVICE, m) {
  m.impl("upfirdn2d", TORCH_BOX(&stylegan2::upfirdn2d));
}
