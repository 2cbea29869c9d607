// Winograd's minimal filtering F(4×4, 3×3) in float32 (Lavin and Gray 2016): the linear maps around the matrix
// products, which PyTorch's batched ones do. A tile of 6×6 input pixels gives 4×4 output pixels with 36 products
// a pair of channels in place of 144. Tiles overlap by two pixels.
//
// The polynomials are interpolated at 0, ±√½, ±√2 and ∞: errors are half to a quarter of those with the customary
// 0, ±1, ±2 and ∞, and of the size of a plain sum's.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <vector>

#include "lanes.h"

namespace stylegan2 {
namespace {

using torch::stable::Tensor;

constexpr float P = 0.70710678118654752440f, Q = 1.41421356237309504880f;

// Each map works on one axis, of one channel (V = float) or 16: `s` and `d` are the strides of input and output.
struct Input {  // Bᵀ
  static constexpr int from = 6, to = 6;
  template <typename V>
  static inline void axis(const V* x, int s, V* v, int d) {
    const V even_p = x[4 * s] - 2.f * x[2 * s], odd_p = P * (x[3 * s] - 2.f * x[s]);
    const V even_q = x[4 * s] - .5f * x[2 * s], odd_q = Q * (x[3 * s] - .5f * x[s]);
    v[0] = x[0] - 2.5f * x[2 * s] + x[4 * s];
    v[d] = even_p + odd_p;
    v[2 * d] = even_p - odd_p;
    v[3 * d] = even_q + odd_q;
    v[4 * d] = even_q - odd_q;
    v[5 * d] = x[s] - 2.5f * x[3 * s] + x[5 * s];
  }
};

struct Output {  // Aᵀ
  static constexpr int from = 6, to = 4;
  template <typename V>
  static inline void axis(const V* m, int s, V* y, int d) {
    const V even_p = m[s] + m[2 * s], odd_p = P * (m[s] - m[2 * s]);
    const V even_q = m[3 * s] + m[4 * s], odd_q = Q * (m[3 * s] - m[4 * s]);
    y[0] = m[0] + even_p + even_q;
    y[d] = odd_p + odd_q;
    y[2 * d] = .5f * even_p + 2.f * even_q;
    y[3 * d] = .5f * odd_p + 2.f * odd_q + m[5 * s];
  }
};

struct OutputAdjoint {  // A
  static constexpr int from = 4, to = 6;
  template <typename V>
  static inline void axis(const V* y, int s, V* m, int d) {
    const V even_p = y[0] + .5f * y[2 * s], odd_p = P * (y[s] + .5f * y[3 * s]);
    const V even_q = y[0] + 2.f * y[2 * s], odd_q = Q * (y[s] + 2.f * y[3 * s]);
    m[0] = y[0];
    m[d] = even_p + odd_p;
    m[2 * d] = even_p - odd_p;
    m[3 * d] = even_q + odd_q;
    m[4 * d] = even_q - odd_q;
    m[5 * d] = y[3 * s];
  }
};

struct Weight {  // G
  static constexpr int from = 3, to = 6;
  template <typename V>
  static inline void axis(const V* w, int s, V* u, int d) {
    const V even_p = -2.f / 3.f * w[0] - 1.f / 3.f * w[2 * s], odd_p = -2.f / 3.f * P * w[s];
    const V even_q = 1.f / 6.f * w[0] + 1.f / 3.f * w[2 * s], odd_q = 1.f / 6.f * Q * w[s];
    u[0] = w[0];
    u[d] = even_p + odd_p;
    u[2 * d] = even_p - odd_p;
    u[3 * d] = even_q + odd_q;
    u[4 * d] = even_q - odd_q;
    u[5 * d] = w[2 * s];
  }
};

struct WeightAdjoint {  // Gᵀ
  static constexpr int from = 6, to = 3;
  template <typename V>
  static inline void axis(const V* u, int s, V* w, int d) {
    const V even_p = u[s] + u[2 * s], odd_p = P * (u[s] - u[2 * s]);
    const V even_q = u[3 * s] + u[4 * s], odd_q = Q * (u[3 * s] - u[4 * s]);
    w[0] = u[0] - 2.f / 3.f * even_p + 1.f / 6.f * even_q;
    w[d] = -2.f / 3.f * odd_p + 1.f / 6.f * odd_q;
    w[2 * d] = -1.f / 3.f * even_p + 1.f / 3.f * even_q + u[5 * s];
  }
};

// Both axes of a map, for the channels from c on: x and y point at one row of channels a pixel.
template <typename Map, typename V>
inline void both_axes(const float* const* x, float* const* y, int64_t c) {
  constexpr int N = Map::from, M = Map::to;
  V in[N * N], half[M * N], out[M * M];
  for (int i = 0; i < N * N; ++i) in[i] = load<V>(x[i] + c);
  for (int i = 0; i < N; ++i) Map::template axis<V>(in + i, N, half + i, N);
  for (int i = 0; i < M; ++i) Map::template axis<V>(half + i * N, 1, out + i * M, 1);
  for (int i = 0; i < M * M; ++i) save(y[i] + c, out[i]);
}

template <typename Map>
void both_axes(const float* const* x, float* const* y, int64_t channels) {
  int64_t c = 0;
  for (; c + 16 <= channels; c += 16) both_axes<Map, Lanes>(x, y, c);
  for (; c < channels; ++c) both_axes<Map, float>(x, y, c);
}

float* data(const Tensor& t) {
  STD_TORCH_CHECK(t.scalar_type() == torch::headeronly::ScalarType::Float, "expected float32");
  return static_cast<float*>(t.data_ptr());
}

// The tiles of images (N, H, W, channels) that the outputs (N, H', W') fall into, 4×4 each.
struct Tiles {
  int64_t height, width, channels, down, across;

  // The pixels of a square of `side` whose corner is `offset` before that of a tile; `beyond` where there are none.
  template <typename T>
  void pixels(T* images, int64_t tile, int side, int64_t offset, T* beyond, T** found) const {
    const int64_t x0 = tile % across * 4 - offset, y0 = tile / across % down * 4 - offset;
    T* image = images + tile / across / down * height * width * channels;
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x) {
        const bool inside = y0 + y >= 0 && y0 + y < height && x0 + x >= 0 && x0 + x < width;
        *found++ = inside ? image + ((y0 + y) * width + x0 + x) * channels : beyond;
      }
  }
};

template <typename Map>
void to_products(const Tensor& x, Tensor& v, int64_t first, int64_t offset, int64_t down, int64_t across) {
  const Tiles tiles{x.size(2), x.size(3), x.size(1), down, across};
  const int64_t count = v.size(1), c = x.size(1);
  const std::vector<float> zeros(c, 0.f);
  torch::stable::parallel_for(0, count, 1 + 4096 / c, [&](int64_t begin, int64_t end) {
    const float* from[Map::from * Map::from];
    float* to[36];
    for (int64_t t = begin; t < end; ++t) {
      tiles.pixels<const float>(data(x), first + t, Map::from, offset, zeros.data(), from);
      for (int k = 0; k < 36; ++k) to[k] = data(v) + (k * count + t) * c;
      both_axes<Map>(from, to, c);
    }
  });
}

}  // namespace

// x (N, C, H, W) channels last -> v (36, T, C): its tiles from number `first` on, of down·across an image.
void winograd_input(const Tensor& x, Tensor v, int64_t first, int64_t padding, int64_t down, int64_t across) {
  to_products<Input>(x, v, first, padding, down, across);
}

// The derivative of `winograd_output`.
void winograd_output_adjoint(const Tensor& y, Tensor m, int64_t first, int64_t down, int64_t across) {
  to_products<OutputAdjoint>(y, m, first, 0, down, across);
}

// m (36, T, C) -> its tiles of y (N, C, H, W), channels last.
void winograd_output(const Tensor& m, Tensor y, int64_t first, int64_t down, int64_t across) {
  const Tiles tiles{y.size(2), y.size(3), y.size(1), down, across};
  const int64_t count = m.size(1), c = y.size(1);
  torch::stable::parallel_for(0, count, 1 + 4096 / c, [&](int64_t begin, int64_t end) {
    std::vector<float> nowhere(c);
    const float* from[36];
    float* to[16];
    for (int64_t t = begin; t < end; ++t) {
      for (int k = 0; k < 36; ++k) from[k] = data(m) + (k * count + t) * c;
      tiles.pixels<float>(data(y), first + t, 4, 0, nowhere.data(), to);
      both_axes<Output>(from, to, c);
    }
  });
}

// w (O, I, 3, 3) channels last -> u (36, O, I); flip: of the kernels turned by 180°.
void winograd_weight(const Tensor& w, Tensor u, bool flip) {
  const int64_t o = w.size(0), c = w.size(1);
  torch::stable::parallel_for(0, o, 1 + 4096 / c, [&](int64_t begin, int64_t end) {
    const float* from[9];
    float* to[36];
    for (int64_t t = begin; t < end; ++t) {
      for (int k = 0; k < 9; ++k) from[k] = data(w) + (t * 9 + (flip ? 8 - k : k)) * c;
      for (int k = 0; k < 36; ++k) to[k] = data(u) + (k * o + t) * c;
      both_axes<Weight>(from, to, c);
    }
  });
}

// The derivative of `winograd_weight` without flip.
void winograd_weight_adjoint(const Tensor& u, Tensor w) {
  const int64_t o = w.size(0), c = w.size(1);
  torch::stable::parallel_for(0, o, 1 + 4096 / c, [&](int64_t begin, int64_t end) {
    const float* from[36];
    float* to[9];
    for (int64_t t = begin; t < end; ++t) {
      for (int k = 0; k < 36; ++k) from[k] = data(u) + (k * o + t) * c;
      for (int k = 0; k < 9; ++k) to[k] = data(w) + (t * 9 + k) * c;
      both_axes<WeightAdjoint>(from, to, c);
    }
  });
}

}  // namespace stylegan2

STABLE_TORCH_LIBRARY_IMPL(stylegan2, CPU, m) {
  m.impl("winograd_input", TORCH_BOX(&stylegan2::winograd_input));
  m.impl("winograd_output", TORCH_BOX(&stylegan2::winograd_output));
  m.impl("winograd_output_adjoint", TORCH_BOX(&stylegan2::winograd_output_adjoint));
  m.impl("winograd_weight", TORCH_BOX(&stylegan2::winograd_weight));
  m.impl("winograd_weight_adjoint", TORCH_BOX(&stylegan2::winograd_weight_adjoint));
}
