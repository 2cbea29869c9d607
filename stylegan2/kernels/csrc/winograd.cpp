// 3×3 convolutions on the CPU by Winograd's minimal filtering (winograd.h), in float32 arithmetic, channels
// last.
//
// A thread takes a few tiles at a time from the input to the output. The intermediate results stay in its
// second-level cache, so the multiplications run at the full speed of the processor.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <cstdint>
#include <memory>

#include "arithmetic.h"
#include "lanes.h"
#include "winograd.h"

namespace stylegan2 {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int POINTS = 36;  // points of a kernel, 6 per axis
constexpr int PANEL = 64;   // channels of a panel: the inputs or outputs of one matrix product
constexpr int ROWS = 6;     // rows of a matrix product that are in registers
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int COLUMNS = 4;  // columns in registers, in vectors of WIDTH, if there are 32 registers
#else
constexpr int COLUMNS = 2;  // the same, if there are 16 registers
#endif
constexpr int BLOCK = 24;  // tiles that a thread takes at a time, which are some hundred kilobytes per panel
// Up to this many tiles form a single block if there is a panel for each thread. Then no mapped kernels are
// stored.
constexpr int ALONE = 96;
// Number of floats between the planes of two points. Without them, the planes would share a set of the cache.
// They also serve as the rows after the last one that a product reads.
constexpr int APART = 16;

// Uninitialized floats, aligned to cache lines.
class Buffer {
  std::unique_ptr<float[]> all;

 public:
  float* const data;
  explicit Buffer(int64_t size)
      : all(new float[size + 15]),
        data(reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(all.get()) + 63) & ~uintptr_t(63))) {}
};

// --------------------------------------------------------------------------------------------------- products

// Computes c (ROWS, WIDTH·C) = a (ROWS, depth) · b (depth, WIDTH·C), or adds the product to c if `add`.
template <int C>
void multiply_rows(
    const float* __restrict a, int64_t a_row, int64_t a_step, const float* __restrict b, int64_t depth,
    float* __restrict c, bool add) {
  Lanes sum[ROWS][C];
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) sum[r][j] = add ? load(c + r * PANEL + WIDTH * j) : Lanes{};
  for (int64_t k = 0; k < depth; ++k) {
    Lanes row[C];
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) row[j] = load(b + k * PANEL + WIDTH * j);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const float factor = a[r * a_row + k * a_step];
#pragma GCC unroll 4
      for (int j = 0; j < C; ++j) sum[r][j] += factor * row[j];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) save(c + r * PANEL + WIDTH * j, sum[r][j]);
}

// Computes c (rows, columns) = a · b, or adds the product to c if `add`. The rows of b and c are PANEL floats
// apart. ROWS rows and a multiple of WIDTH columns are computed at a time, so all three buffers need room up
// to the next multiple.
void multiply(
    int64_t rows, int64_t columns, const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t depth,
    float* c, bool add) {
  for (int64_t j = 0; j < columns; j += WIDTH * COLUMNS) {
    const int64_t vectors = std::min<int64_t>(COLUMNS, ceil_div(columns - j, WIDTH));
    const auto product = vectors == 1   ? multiply_rows<1>
                         : vectors == 2 ? multiply_rows<std::min(2, COLUMNS)>
                         : vectors == 3 ? multiply_rows<std::min(3, COLUMNS)>
                                        : multiply_rows<COLUMNS>;
    for (int64_t r = 0; r < rows; r += ROWS)
      product(a + r * a_row, a_row, a_step, b + j, depth, c + r * PANEL + j, add);
  }
}

// ------------------------------------------------------------------------------------------------------- maps

// Applies a map to both axes, for the channels from c on. x and y hold pointers to the channels of each pixel
// or point.
template <typename Map, typename V, typename X, typename Y>
inline void map_some(const X* const* x, Y* const* y, int64_t c) {
  constexpr int N = Map::from, M = Map::to;
  V half[N * M];
#pragma GCC unroll 9
  for (int i = 0; i < N; ++i) {
    V row[N];
#pragma GCC unroll 9
    for (int j = 0; j < N; ++j) row[j] = load<V>(x[i * N + j] + c);
    Map::axis(row, 1, half + i * M, 1);
  }
#pragma GCC unroll 9
  for (int j = 0; j < M; ++j) {
    V column[M];
    Map::axis(half + j, M, column, 1);
#pragma GCC unroll 9
    for (int i = 0; i < M; ++i) save(y[i * M + j] + c, column[i]);
  }
}

template <typename Map, typename X, typename Y>
void map(const X* const* x, Y* const* y, int64_t channels) {
  int64_t c = 0;
  for (; c + WIDTH <= channels; c += WIDTH) map_some<Map, Lanes>(x, y, c);
  for (; c < channels; ++c) map_some<Map, float>(x, y, c);
}

// Divides images (N, C, H, W), channels last, into square tiles of `side` pixels. Neighboring tiles are
// `step` pixels apart, and the first one starts `offset` pixels before the image.
template <typename T>
class Tiles {
  T* data;
  int64_t height, width, channels, down, across, step, side, offset;

 public:
  Tiles(const Tensor& x, int64_t down, int64_t across, int step, int side, int64_t offset)
      : data(static_cast<T*>(x.data_ptr())), height(x.size(2)), width(x.size(3)), channels(x.size(1)), down(down),
        across(across), step(step), side(side), offset(offset) {}

  // Finds pointers to the pixels of a tile, from channel c on. Pixels outside the image get the pointer
  // `beyond`.
  void pixels(int64_t tile, int64_t c, T* beyond, T** found) const {
    const int64_t x0 = tile % across * step - offset, y0 = tile / across % down * step - offset;
    T* image = data + tile / across / down * height * width * channels + c;
    const bool inside = x0 >= 0 && y0 >= 0 && x0 + side <= width && y0 + side <= height;
    for (int64_t y = y0; y < y0 + side; ++y)
      for (int64_t x = x0; x < x0 + side; ++x)
        *found++ = inside || (y >= 0 && y < height && x >= 0 && x < width) ? image + (y * width + x) * channels
                                                                           : beyond;
  }
};

// Maps some channels of `count` tiles to v, which has one plane per point, with PANEL numbers per tile.
template <typename Map, typename T>
void map_tiles(
    const Tiles<const T>& tiles, int64_t tile, int64_t count, int64_t c, int64_t channels, float* v, int64_t plane) {
  static const T zeros[PANEL] = {};
  const T* from[Map::from * Map::from];
  float* to[Map::to * Map::to];
  for (int64_t t = 0; t < count; ++t) {
    tiles.pixels(tile + t, c, zeros, from);
    for (int k = 0; k < Map::to * Map::to; ++k) to[k] = v + k * plane + t * PANEL;
    map<Map>(from, to, channels);
  }
}

// Kernels (O, I, 3, 3) with any strides.
template <typename T>
struct Kernels {
  const T* data;
  int64_t stride[4];

  explicit Kernels(const Tensor& w)
      : data(static_cast<const T*>(w.data_ptr())), stride{w.stride(0), w.stride(1), w.stride(2), w.stride(3)} {}
};

// Maps the kernels from `count` inputs to `channels` outputs to u, which has one plane per point, with PANEL
// outputs per input. If `adjoint`, inputs and outputs are exchanged and the kernels are rotated by 180°.
template <typename Map, typename T>
void map_kernels(
    const Kernels<T>& w, bool adjoint, int64_t r, int64_t count, int64_t c, int64_t channels, float* u, int64_t plane) {
  const int64_t by_row = w.stride[adjoint ? 0 : 1], by_column = w.stride[adjoint ? 1 : 0];
  alignas(64) float square[9][16][16] = {};
  const float* from[9];
  float* to[POINTS];
  for (int64_t c0 = 0; c0 < channels; c0 += 16)
    for (int64_t r0 = 0; r0 < count; r0 += 16) {
      const int64_t rows = std::min<int64_t>(16, count - r0), columns = std::min<int64_t>(16, channels - c0);
      for (int k = 0; k < 9; ++k) {
        const int tap = adjoint ? 8 - k : k;
        const T* corner =
            w.data + (r + r0) * by_row + (c + c0) * by_column + tap / 3 * w.stride[2] + tap % 3 * w.stride[3];
        if (by_column == 1)
          for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < columns; ++j) square[k][i][j] = static_cast<float>(corner[i * by_row + j]);
        else
          for (int64_t j = 0; j < columns; ++j)
            for (int64_t i = 0; i < rows; ++i)
              square[k][i][j] = static_cast<float>(corner[i * by_row + j * by_column]);
      }
      for (int64_t i = 0; i < rows; ++i) {
        for (int k = 0; k < 9; ++k) from[k] = square[k][i];
        for (int k = 0; k < POINTS; ++k) to[k] = u + k * plane + (r0 + i) * PANEL + c0;
        map<Map>(from, to, 16);
      }
    }
}

// ------------------------------------------------------------------------------------------------ convolutions

// Returns which plane of a kernel multiplies the plane of a point.
template <typename S>
constexpr int kernel_point(int point) {
  constexpr int side = S::Output::from;
  return S::kernel[point / side] * 6 + S::kernel[point % side];
}

// Returns the number of groups to divide the panels into. Each pair of a group and a block is one task. There
// should be few groups, because every group maps the inputs again, which costs as much as a fifth of a panel.
// There should be enough to keep all threads busy.
int64_t choose_groups(int64_t blocks, int64_t panels) {
  const int64_t threads = torch::stable::get_num_threads();
  const auto time = [&](int64_t groups) { return ceil_div(blocks * groups, threads) * (ceil_div(panels, groups) + .2); };
  int64_t best = 1;
  for (int64_t groups = 2; groups <= panels; ++groups)
    if (time(groups) < time(best)) best = groups;
  return best;
}

// Convolves x with w to y. If `adjoint`, it computes the gradient of a convolution with respect to its input
// instead. A thread takes a block of tiles and a group of panels of outputs, and processes one panel of
// inputs after another.
template <typename S, typename T>
void convolve(const Tensor& x, const Tensor& w, Tensor& y, bool adjoint, int64_t offset) {
  constexpr int points = S::Output::from * S::Output::from;
  const int64_t down = ceil_div(y.size(2), S::out), across = ceil_div(y.size(3), S::out);
  const int64_t tiles = y.size(0) * down * across, inputs = x.size(1), outputs = y.size(1);
  const int64_t chunks = ceil_div(inputs, PANEL), panels = ceil_div(outputs, PANEL);
  const bool alone = tiles <= ALONE && panels >= int64_t(torch::stable::get_num_threads());
  const int64_t room = ceil_div(alone ? tiles : BLOCK, ROWS) * ROWS, blocks = ceil_div(tiles, room);
  const int64_t groups = choose_groups(blocks, panels), group = ceil_div(panels, groups);
  const int64_t plane = room * PANEL + APART, plane_u = PANEL * PANEL + APART;
  const auto width = [](int64_t all, int64_t panel) { return std::min<int64_t>(PANEL, all - panel * PANEL); };
  const Kernels<T> weight(w);
  const auto map_panel = [&](int64_t chunk, int64_t panel, float* u) {
    map_kernels<typename S::Weight, T>(
        weight, adjoint, chunk * PANEL, width(inputs, chunk), panel * PANEL, width(outputs, panel), u, plane_u);
  };
  const bool once = blocks == 1;  // each panel of kernels is mapped when it is needed, since it is needed once
  const Buffer kernels(once ? 0 : chunks * panels * POINTS * plane_u);
  if (!once)
    torch::stable::parallel_for(0, chunks * panels, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) map_panel(i / panels, i % panels, kernels.data + i * POINTS * plane_u);
    });
  const Tiles<const T> from(x, down, across, S::step, S::Input::from, offset);
  const Tiles<T> to(y, down, across, S::out, S::Output::to, 0);
  torch::stable::parallel_for(0, blocks * groups, 1, [&](int64_t begin, int64_t end) {
    const Buffer v(points * plane), m(group * points * plane), own(once ? POINTS * plane_u : 0);
    T nowhere[PANEL];
    const float* sums[points];
    T* pixels[S::Output::to * S::Output::to];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t tile = i / groups * room, count = std::min(room, tiles - tile);
      const int64_t first = i % groups * group, last = std::min(panels, first + group);
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        map_tiles<typename S::Input, T>(from, tile, count, chunk * PANEL, width(inputs, chunk), v.data, plane);
        for (int64_t panel = first; panel < last; ++panel) {
          if (once) map_panel(chunk, panel, own.data);
          const float* u = once ? own.data : kernels.data + (chunk * panels + panel) * POINTS * plane_u;
          for (int k = 0; k < points; ++k)
            multiply(
                count, width(outputs, panel), v.data + k * plane, PANEL, 1, u + kernel_point<S>(k) * plane_u,
                width(inputs, chunk), m.data + ((panel - first) * points + k) * plane, chunk > 0);
        }
      }
      for (int64_t panel = first; panel < last; ++panel)
        for (int64_t t = 0; t < count; ++t) {
          for (int k = 0; k < points; ++k) sums[k] = m.data + ((panel - first) * points + k) * plane + t * PANEL;
          to.pixels(tile + t, panel * PANEL, nowhere, pixels);
          map<typename S::Output>(sums, pixels, width(outputs, panel));
        }
    }
  });
}

// Computes the gradient of `convolve` with respect to the kernel, as parts (P, O, I, 3, 3), channels last.
// Each part is the sum over a range of tiles. A thread takes one range, one panel of inputs and one panel of
// outputs.
template <typename S, typename T>
void convolve_weight(const Tensor& x, const Tensor& y, Tensor& w, int64_t offset) {
  constexpr int points = S::Output::from * S::Output::from;
  const int64_t down = ceil_div(y.size(2), S::out), across = ceil_div(y.size(3), S::out);
  const int64_t tiles = y.size(0) * down * across, inputs = x.size(1), outputs = y.size(1);
  const int64_t panels_i = ceil_div(inputs, PANEL), panels_o = ceil_div(outputs, PANEL);
  const int64_t parts = w.size(0), range = ceil_div(tiles, parts), room = std::min<int64_t>(range, BLOCK);
  const int64_t plane = room * PANEL + APART, plane_u = ceil_div(PANEL, ROWS) * ROWS * PANEL + APART;
  const Tiles<const T> from_x(x, down, across, S::step, S::Input::from, offset);
  const Tiles<const T> from_y(y, down, across, S::out, S::OutputAdjoint::from, 0);
  float* kernels = static_cast<float*>(w.data_ptr());
  torch::stable::parallel_for(0, parts * panels_o * panels_i, 1, [&](int64_t begin, int64_t end) {
    const Buffer v(points * plane), m(points * plane), u(POINTS * plane_u);
    const float* sums[POINTS];
    float* taps[9];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t part = i / panels_i / panels_o, last = std::min(tiles, (part + 1) * range);
      const int64_t o = i / panels_i % panels_o * PANEL, count_o = std::min<int64_t>(PANEL, outputs - o);
      const int64_t c = i % panels_i * PANEL, count_i = std::min<int64_t>(PANEL, inputs - c);
      std::fill_n(u.data, POINTS * plane_u, 0.f);
      for (int64_t tile = part * range; tile < last; tile += room) {
        const int64_t count = std::min(room, last - tile);
        map_tiles<typename S::Input, T>(from_x, tile, count, c, count_i, v.data, plane);
        map_tiles<typename S::OutputAdjoint, T>(from_y, tile, count, o, count_o, m.data, plane);
        for (int k = 0; k < points; ++k)
          multiply(
              count_o, count_i, m.data + k * plane, 1, PANEL, v.data + k * plane, count,
              u.data + kernel_point<S>(k) * plane_u, true);
      }
      for (int64_t r = 0; r < count_o; ++r) {
        for (int k = 0; k < POINTS; ++k) sums[k] = u.data + k * plane_u + r * PANEL;
        for (int k = 0; k < 9; ++k)
          taps[k] = kernels + ((part * outputs + o + r) * 9 + k) * inputs + c;
        map<typename S::WeightAdjoint>(sums, taps, count_i);
      }
    }
  });
}

// ------------------------------------------------------------------------------------------------------- ops

// Calls f(scheme, value) with the scheme of the stride and a value of the type of x.
template <typename One, typename Two, typename F>
void dispatch(int64_t stride, const Tensor& x, const F& f) {
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::BFloat16, "expected float32 or bfloat16");
  STD_TORCH_CHECK(stride == 1 || stride == 2, "expected stride 1 or 2");
  const auto typed = [&](auto s) { type == ScalarType::Float ? f(s, float{}) : f(s, BFloat16{}); };
  stride == 1 ? typed(One{}) : typed(Two{});
}

}  // namespace

// Convolves x (N, I, H, W) with w (O, I, 3, 3) to y (N, O, H', W'). x and y have the same type and are
// channels last. w can have any strides.
void winograd(const Tensor& x, const Tensor& w, Tensor y, int64_t stride, int64_t padding) {
  dispatch<Plain, Strided>(stride, x, [&](auto s, auto t) {
    convolve<decltype(s), decltype(t)>(x, w, y, false, padding);
  });
}

// Computes the gradient of `winograd` with respect to x.
void winograd_grad_input(const Tensor& y, const Tensor& w, Tensor x, int64_t stride, int64_t padding) {
  dispatch<Plain, Transposed>(stride, y, [&](auto s, auto t) {
    convolve<decltype(s), decltype(t)>(y, w, x, true, stride == 1 ? 2 - padding : 1);
  });
}

// Computes the gradient of `winograd` with respect to w, in float32, as parts (P, O, 3, 3, I) to be summed.
void winograd_grad_weight(const Tensor& x, const Tensor& y, Tensor parts, int64_t stride, int64_t padding) {
  STD_TORCH_CHECK(parts.scalar_type() == ScalarType::Float, "expected float32 parts");
  dispatch<Plain, Strided>(stride, x, [&](auto s, auto t) {
    convolve_weight<decltype(s), decltype(t)>(x, y, parts, padding);
  });
}

}  // namespace stylegan2

STABLE_TORCH_LIBRARY_IMPL(stylegan2, CPU, m) {
  m.impl("winograd", TORCH_BOX(&stylegan2::winograd));
  m.impl("winograd_grad_input", TORCH_BOX(&stylegan2::winograd_grad_input));
  m.impl("winograd_grad_weight", TORCH_BOX(&stylegan2::winograd_grad_weight));
}
