// The arithmetic that the CPU and the CUDA kernels share: which input pixels and filter taps an output pixel
// reads, whether a filter is separable, and every activation with its first two derivatives.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define SG2_FUNCTION __host__ __device__ __forceinline__
#else
#define SG2_FUNCTION inline __attribute__((always_inline))
#endif

namespace stylegan2 {

// The type that the kernels compute in: float64 for float64, and float32 for all smaller types.
template <typename T>
struct Accumulate {
  using type = float;
};
template <>
struct Accumulate<double> {
  using type = double;
};

// ---------------------------------------------------------------------------------------------- upfirdn2d

// The first input pixel and the first tap that an output pixel reads, along one axis. The output is the sum
// over j of taps[tap + j·up] · x[input + j], for all j for which both exist.
struct Reach {
  int64_t input;
  int tap;
};

SG2_FUNCTION int64_t ceil_div(int64_t a, int64_t b) {
  return a >= 0 ? (a + b - 1) / b : -(-a / b);
}

SG2_FUNCTION Reach reach(int64_t output, int up, int down, int64_t pad) {
  const int64_t position = output * down - pad;  // of tap 0 in the image with inserted zeros
  const int64_t input = ceil_div(position, up);  // the first pixel from there on that is not an inserted zero
  return {input, static_cast<int>(input * up - position)};
}

struct Geometry {
  int64_t outer, height, width, inner;  // outer is N·C and inner is 1 if contiguous; N and C if channels last
  int64_t out_height, out_width;
  int64_t pad_x, pad_y;  // at the left and at the top; negative numbers crop
  int upx, upy, downx, downy;
  int taps_x, taps_y;
};

// Tries to factor a filter as taps[y·width + x] = column[y] · row[x], starting from the tap at (py, px).
// Returns whether the filter is such a product.
template <typename A>
SG2_FUNCTION bool separate(const A* taps, int height, int width, int py, int px, A* column, A* row) {
  const A pivot = taps[py * width + px];
  if (pivot == A(0)) return false;
  for (int x = 0; x < width; ++x) row[x] = taps[py * width + x];
  for (int y = 0; y < height; ++y) column[y] = taps[y * width + px] / pivot;
  const A tolerance = (sizeof(A) == 8 ? A(1e-15) : A(5e-7)) * (pivot < 0 ? -pivot : pivot);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const A error = taps[y * width + x] - column[y] * row[x];
      if (!(error <= tolerance && error >= -tolerance)) return false;
    }
  }
  return true;
}

// A filter in any of its forms. The call operator returns the tap at (y, x) for correlation, times the gain.
template <typename A>
struct Filter {
  const A* values;  // null: the identity
  int height, width;
  bool separable, flip;  // a separable filter has height = width values; its taps are their products
  A gain;

  SG2_FUNCTION A operator()(int y, int x) const {
    if (!values) return gain;
    if (!flip) y = height - 1 - y, x = width - 1 - x;
    return gain * (separable ? values[y] * values[x] : values[y * width + x]);
  }
};

// Computes one output pixel for any filter.
template <typename T, typename A>
SG2_FUNCTION A filter_pixel(
    const T* image, const Filter<A>& filter, const Geometry& g, int64_t oy, int64_t ox, int64_t channel) {
  const Reach ry = reach(oy, g.upy, g.downy, g.pad_y), rx = reach(ox, g.upx, g.downx, g.pad_x);
  A sum = 0;
  int64_t y = ry.input;
  for (int ty = ry.tap; ty < g.taps_y; ty += g.upy, ++y) {
    if (y < 0 || y >= g.height) continue;
    int64_t x = rx.input;
    for (int tx = rx.tap; tx < g.taps_x; tx += g.upx, ++x) {
      if (x < 0 || x >= g.width) continue;
      sum += filter(ty, tx) * static_cast<A>(image[(y * g.width + x) * g.inner + channel]);
    }
  }
  return sum;
}

// ----------------------------------------------------------------------------------------------- bias_act

// The activations, in the order of `activations` in ops/bias_act.py.
enum class Act : int { linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus, swish };

constexpr double SELU_SCALE = 1.0507009873554804934193349852946;
constexpr double SELU_ALPHA = 1.6732632423543772848170429916717;

template <typename A>
SG2_FUNCTION A sigmoid(A u) {
  return A(1) / (A(1) + std::exp(-u));
}

// Returns the derivative of order 0, 1 or 2 of an activation at u. Order 0 is its value.
template <Act F, int ORDER, typename A>
SG2_FUNCTION A activate(A u, A alpha) {
  if constexpr (F == Act::linear) {
    return ORDER == 0 ? u : A(ORDER == 1);
  } else if constexpr (F == Act::relu) {
    return ORDER == 0 ? (u < 0 ? A(0) : u) : ORDER == 1 ? A(u > 0) : A(0);
  } else if constexpr (F == Act::lrelu) {
    return ORDER == 0 ? (u > 0 ? u : u * alpha) : ORDER == 1 ? (u > 0 ? A(1) : alpha) : A(0);
  } else if constexpr (F == Act::tanh) {
    const A t = std::tanh(u), slope = A(1) - t * t;
    return ORDER == 0 ? t : ORDER == 1 ? slope : A(-2) * t * slope;
  } else if constexpr (F == Act::sigmoid) {
    const A s = sigmoid(u), slope = s * (A(1) - s);
    return ORDER == 0 ? s : ORDER == 1 ? slope : slope * (A(1) - A(2) * s);
  } else if constexpr (F == Act::elu) {
    return u > 0 ? (ORDER == 0 ? u : A(ORDER == 1)) : ORDER == 0 ? std::expm1(u) : std::exp(u);
  } else if constexpr (F == Act::selu) {
    return A(SELU_SCALE) *
        (u > 0 ? (ORDER == 0 ? u : A(ORDER == 1))
               : A(SELU_ALPHA) * (ORDER == 0 ? std::expm1(u) : std::exp(u)));
  } else if constexpr (F == Act::softplus) {
    if (ORDER == 0) return u > 50 ? u : std::log1p(std::exp(u));
    const A s = sigmoid(u);
    return ORDER == 1 ? s : s * (A(1) - s);
  } else {
    const A s = sigmoid(u);
    return ORDER == 0 ? u * s
        : ORDER == 1  ? s * (A(1) + u * (A(1) - s))
                      : s * (A(1) - s) * (A(2) + u * (A(1) - A(2) * s));
  }
}

// Returns gain times the derivative, or 0 where the value is clamped. Order 0 returns the clamped value.
template <Act F, int ORDER, typename A>
SG2_FUNCTION A activate(A u, A alpha, A gain, A clamp) {
  const A value = activate<F, 0>(u, alpha) * gain;
  if (ORDER == 0) return value < -clamp ? -clamp : value > clamp ? clamp : value;
  return value < -clamp || value > clamp ? A(0) : activate<F, ORDER>(u, alpha) * gain;
}

// Returns the first derivative of a piecewise linear activation, given its result y. It requires gain > 0 and
// alpha ≥ 0.
template <typename A>
SG2_FUNCTION A slope_from_output(A y, A alpha, A gain, A clamp) {
  return y <= -clamp || y >= clamp ? A(0) : y > 0 ? gain : gain * alpha;
}

// The arguments of a bias_act, except for the tensors of full size. Element i belongs to channel
// (i / inner) % channels. inner is H·W for contiguous images, and 1 for channels last.
template <typename A>
struct Pointwise {
  const A *b, *scale, *noise;  // null if absent
  int64_t size, channels, inner;
  int64_t pixels;        // of one image
  int64_t noise_stride;  // from the noise of one image to that of the next; 0 if they share it
  A alpha, gain, clamp;  // an infinite clamp stands for no clamp
  Act act;
  int order;         // 0 for the value, 1 for cot · first derivative, 2 for cot · second derivative
  bool from_output;  // whether x holds the result of bias_act instead of its input (for order 1)
};

}  // namespace stylegan2
