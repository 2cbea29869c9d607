// bias_act and its derivatives on CUDA, in one pass over memory.
#include "cuda.h"

namespace stylegan2 {
namespace {

// Divides by a number that is known at launch. Below 2³¹ it takes a multiplication and a shift.
template <typename Index>
struct Divider {
  uint32_t divisor, factor = 0, shift = 0;

  explicit Divider(int64_t d) : divisor(static_cast<uint32_t>(d)) {
    while ((uint64_t(1) << shift) < divisor) ++shift;
    factor = static_cast<uint32_t>((uint64_t(1) << 32) * ((uint64_t(1) << shift) - divisor) / divisor + 1);
  }
  SG2_FUNCTION Index operator()(Index n) const {
    return (static_cast<uint32_t>((static_cast<uint64_t>(n) * factor) >> 32) + n) >> shift;
  }
};

template <>
struct Divider<int64_t> {
  int64_t divisor;

  explicit Divider(int64_t d) : divisor(d) {}
  SG2_FUNCTION int64_t operator()(int64_t n) const { return n / divisor; }
};

// Piecewise linear activations share one kernel, because they differ only in the slope for negative values.
// For other activations, and for second derivatives, the kernel chooses the activation at run time.
template <bool CURVED, int ORDER, typename A>
SG2_FUNCTION A activate_any(A u, const Pointwise<A>& p) {
  if constexpr (!CURVED) {
    if (ORDER == 1 && p.from_output) return slope_from_output(u, p.alpha, p.gain, p.clamp);
    if (ORDER == 0 && p.alpha == 0) return activate<Act::relu, 0>(u, p.alpha, p.gain, p.clamp);
    return activate<Act::lrelu, ORDER>(u, p.alpha, p.gain, p.clamp);
  } else {
    switch (p.act) {
      case Act::tanh: return activate<Act::tanh, ORDER>(u, p.alpha, p.gain, p.clamp);
      case Act::sigmoid: return activate<Act::sigmoid, ORDER>(u, p.alpha, p.gain, p.clamp);
      case Act::elu: return activate<Act::elu, ORDER>(u, p.alpha, p.gain, p.clamp);
      case Act::selu: return activate<Act::selu, ORDER>(u, p.alpha, p.gain, p.clamp);
      case Act::softplus: return activate<Act::softplus, ORDER>(u, p.alpha, p.gain, p.clamp);
      case Act::swish: return activate<Act::swish, ORDER>(u, p.alpha, p.gain, p.clamp);
      default: return A(0);  // the second derivative of a piecewise linear activation
    }
  }
}

template <typename T, typename Index, int V, bool CURVED, int ORDER>
struct BiasAct {
  using A = typename Accumulate<T>::type;
  static constexpr int UNROLL = 4;

  Pointwise<A> p;
  const T *x, *cot;
  T* y;
  bool plain, channels_inside;
  Divider<Index> inner, channels, pixels;

  SG2_FUNCTION void operator()(int64_t block, int thread) const {
    Pack<T, V> in[UNROLL], grad[UNROLL];
    const int64_t start = (block * UNROLL * THREADS + thread) * V;
#pragma unroll
    for (int k = 0; k < UNROLL; ++k) {
      const int64_t at = start + int64_t(k) * THREADS * V;
      if (at >= p.size) break;
      in[k] = *reinterpret_cast<const Pack<T, V>*>(x + at);
      if (ORDER > 0) grad[k] = *reinterpret_cast<const Pack<T, V>*>(cot + at);
    }
#pragma unroll
    for (int k = 0; k < UNROLL; ++k) {
      const int64_t at = start + int64_t(k) * THREADS * V;
      if (at >= p.size) break;
      one(static_cast<Index>(at), in[k], grad[k]);
    }
  }

  // Computes V values of one plane, or V channels of one pixel.
  SG2_FUNCTION void one(Index at, const Pack<T, V>& in, const Pack<T, V>& grad) const {
    A scale[V], shift[V];
#pragma unroll
    for (int j = 0; j < V; ++j) scale[j] = A(1), shift[j] = A(0);
    if (!plain) {
      const Index row = channels_inside ? channels(at) : inner(at);  // pixel or plane
      const Index first = at - row * static_cast<Index>(channels_inside ? p.channels : p.inner);
      const Index image = channels_inside ? pixels(row) : channels(row);
      const Index channel = channels_inside ? first : row - image * static_cast<Index>(p.channels);
#pragma unroll
      for (int j = 0; j < V; ++j) {
        const Index c = channels_inside ? channel + j : channel;
        if (p.b) shift[j] = p.b[c];
        if (p.scale) scale[j] = p.scale[image * static_cast<Index>(p.channels) + c];
        if (p.noise) {
          const Index pixel =
              channels_inside ? row - image * static_cast<Index>(p.pixels) : first + j;
          shift[j] += p.noise[image * static_cast<Index>(p.noise_stride) + pixel];
        }
      }
    }
    Pack<T, V> out;
#pragma unroll
    for (int j = 0; j < V; ++j) {
      const A u = static_cast<A>(in.v[j]) * scale[j] + shift[j];
      A value = activate_any<CURVED, ORDER>(u, p);
      if (ORDER > 0) value *= static_cast<A>(grad.v[j]);
      out.v[j] = static_cast<T>(value);
    }
    *reinterpret_cast<Pack<T, V>*>(y + at) = out;
  }
};

template <typename T, bool CURVED, int ORDER>
void launch_bias_act(
    const Pointwise<typename Accumulate<T>::type>& p, const T* x, const T* cot, T* y, const Tensor& like) {
  constexpr int V = WIDE<T>;
  const bool plain = p.from_output || !(p.b || p.scale || p.noise), inside = !plain && p.inner == 1;
  const int64_t run = plain ? p.size : inside ? p.channels : p.inner;  // a pack must not cross a multiple of it
  const auto go = [&](auto index, auto width) {
    using Index = decltype(index);
    using Kernel = BiasAct<T, Index, decltype(width)::value, CURVED, ORDER>;
    const int64_t covered = int64_t(THREADS) * Kernel::UNROLL * decltype(width)::value;
    const Kernel kernel{p, x, cot, y, plain, inside, Divider<Index>(std::max<int64_t>(1, p.inner)),
                        Divider<Index>(p.channels), Divider<Index>(std::max<int64_t>(1, p.pixels))};
    launch(kernel, ceil_div(p.size, covered), like);
  };
  const bool wide = run % V == 0 && aligned<T, V>(x) && aligned<T, V>(y) && (!cot || aligned<T, V>(cot));
  if (wide && p.size < (int64_t(1) << 31)) {
    go(uint32_t(), std::integral_constant<int, V>());
  } else {
    go(int64_t(), std::integral_constant<int, 1>());
  }
}

}  // namespace

template <typename T>
void run_bias_act(
    const Pointwise<typename Accumulate<T>::type>& p, const T* x, const T* cot, T* y, const Tensor& like) {
  const bool curved = p.act != Act::linear && p.act != Act::relu && p.act != Act::lrelu;
  if (p.order == 2) return launch_bias_act<T, true, 2>(p, x, cot, y, like);
  if (p.order == 1 && curved) return launch_bias_act<T, true, 1>(p, x, cot, y, like);
  if (p.order == 1) return launch_bias_act<T, false, 1>(p, x, cot, y, like);
  if (curved) return launch_bias_act<T, true, 0>(p, x, cot, y, like);
  return launch_bias_act<T, false, 0>(p, x, cot, y, like);
}

}  // namespace stylegan2

STABLE_TORCH_LIBRARY_IMPL(SG2_LIBRARY, SG2_DEVICE, m) {
  m.impl("bias_act", TORCH_BOX(&stylegan2::bias_act));
  m.impl("bias_act_grad", TORCH_BOX(&stylegan2::bias_act_grad));
}
