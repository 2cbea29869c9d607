// The two ops on tensors, for the CPU and for CUDA. This code checks the arguments, chooses the memory
// format, allocates the result and dispatches on the type. The files that include it define `run_bias_act`
// and `run_upfirdn2d`, and register the ops for their device.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/Dispatch.h>
#include <torch/headeronly/core/ScalarType.h>

#include <limits>
#include <optional>
#include <vector>

#include "arithmetic.h"

namespace stylegan2 {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <typename T>
void run_bias_act(const Pointwise<typename Accumulate<T>::type>& p, const T* x, const T* cot, T* y, const Tensor&);

template <typename T>
void run_upfirdn2d(
    const Geometry& g, const T* x, const Filter<typename Accumulate<T>::type>& filter, T* y, const Tensor&);

#define SG2_DISPATCH(TYPE, NAME, ...)                                                        \
  THO_DISPATCH_SWITCH(                                                                       \
      TYPE, NAME, THO_DISPATCH_CASE(ScalarType::Double, __VA_ARGS__)                         \
          THO_DISPATCH_CASE(ScalarType::Float, __VA_ARGS__)                                  \
              THO_DISPATCH_CASE(ScalarType::Half, __VA_ARGS__)                               \
                  THO_DISPATCH_CASE(ScalarType::BFloat16, __VA_ARGS__))

inline bool is_channels_last(const Tensor& x) {
  if (x.dim() != 4 || x.is_contiguous()) return false;
  int64_t expected = 1;
  for (int d : {1, 3, 2, 0}) {
    if (x.size(d) != 1 && x.stride(d) != expected) return false;
    expected *= x.size(d);
  }
  return true;
}

inline Tensor new_tensor(const Tensor& like, std::vector<int64_t> sizes, bool channels_last) {
  if (!channels_last) return torch::stable::new_empty(like, sizes);
  const int64_t c = sizes[1], h = sizes[2], w = sizes[3];
  const int64_t strides[4] = {h * w * c, 1, w * c, c};
  int32_t dtype, device_type;
  aoti_torch_get_dtype(like.get(), &dtype);
  aoti_torch_get_device_type(like.get(), &device_type);
  AtenTensorHandle handle;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      4, sizes.data(), strides, dtype, device_type, like.get_device_index(), &handle));
  return Tensor(handle);
}

inline std::vector<int64_t> sizes_of(const Tensor& x) {
  return {x.sizes().begin(), x.sizes().end()};
}

// Returns x itself if it has the requested memory format, and otherwise a copy that has it.
inline Tensor in_format(const Tensor& x, bool channels_last) {
  if (channels_last ? is_channels_last(x) : x.is_contiguous()) return x;
  Tensor copy = new_tensor(x, sizes_of(x), channels_last);
  return torch::stable::copy_(copy, x);
}

template <typename A>
constexpr ScalarType scalar_type_of() {
  return sizeof(A) == 8 ? ScalarType::Double : ScalarType::Float;
}

// Returns the data of a small tensor in the type that the kernels compute in. `holder` keeps it alive.
template <typename A>
const A* parameter(const std::optional<Tensor>& t, const Tensor& x, std::vector<Tensor>& holder) {
  if (!t) return nullptr;
  STD_TORCH_CHECK(
      t->get_device_index() == x.get_device_index() && t->is_cpu() == x.is_cpu(),
      "expected all tensors on one device");
  Tensor ready = *t;
  if (ready.scalar_type() != scalar_type_of<A>()) ready = torch::stable::to(ready, scalar_type_of<A>());
  holder.push_back(torch::stable::contiguous(ready));
  return static_cast<const A*>(holder.back().data_ptr());
}

// Returns the slope of a piecewise linear activation for negative values.
inline double negative_slope(int64_t act, double alpha) {
  return act == int64_t(Act::linear) ? 1 : act == int64_t(Act::relu) ? 0 : alpha;
}

inline Tensor pointwise(
    const Tensor& x_any, const std::optional<Tensor>& cot_any, const std::optional<Tensor>& b,
    const std::optional<Tensor>& scale, const std::optional<Tensor>& noise, int64_t act, double alpha, double gain,
    double clamp, int64_t dim, int64_t order, bool from_output, bool in_place = false) {
  const bool last = dim == 1 && is_channels_last(x_any);
  const Tensor x = in_format(x_any, last);
  STD_TORCH_CHECK(!in_place || x.data_ptr() == x_any.data_ptr(), "expected x contiguous or channels last");
  Tensor y = in_place ? x : new_tensor(x, sizes_of(x), last);
  if (x.numel() == 0) return y;
  std::vector<Tensor> holder;
  if (cot_any) {
    STD_TORCH_CHECK(
        cot_any->scalar_type() == x.scalar_type() && sizes_of(*cot_any) == sizes_of(x),
        "expected a gradient of the shape and type of the input");
    holder.push_back(in_format(*cot_any, last));
  }

  SG2_DISPATCH(x.scalar_type(), "bias_act", [&] {
    using A = typename Accumulate<scalar_t>::type;
    Pointwise<A> p{};
    const scalar_t* cot = cot_any ? static_cast<const scalar_t*>(holder.front().data_ptr()) : nullptr;
    p.size = x.numel();
    p.channels = x.dim() ? x.size(dim) : 1;
    p.inner = 1;
    if (!last)
      for (int64_t d = dim + 1; d < x.dim(); ++d) p.inner *= x.size(d);
    p.pixels = x.dim() == 4 ? x.size(2) * x.size(3) : 1;
    p.b = parameter<A>(b, x, holder);
    p.scale = parameter<A>(scale, x, holder);
    p.noise = parameter<A>(noise, x, holder);
    p.noise_stride = noise && noise->numel() > p.pixels ? p.pixels : 0;
    p.alpha = negative_slope(act, alpha);
    p.gain = gain;
    // The clamp is rounded to the type of the result, so that a clamped result is equal to it.
    p.clamp = clamp < 0 ? std::numeric_limits<A>::infinity() : static_cast<A>(static_cast<scalar_t>(clamp));
    p.act = static_cast<Act>(act);
    p.order = order;
    p.from_output = from_output;
    run_bias_act<scalar_t>(
        p, static_cast<const scalar_t*>(x.data_ptr()), cot, static_cast<scalar_t*>(y.data_ptr()), x);
  });
  return y;
}

inline Tensor bias_act(
    const Tensor& x, const std::optional<Tensor>& b, const std::optional<Tensor>& scale,
    const std::optional<Tensor>& noise, int64_t act, double alpha, double gain, double clamp, int64_t dim) {
  return pointwise(x, std::nullopt, b, scale, noise, act, alpha, gain, clamp, dim, 0, false);
}

inline void bias_act_(
    Tensor x, const std::optional<Tensor>& b, const std::optional<Tensor>& scale, const std::optional<Tensor>& noise,
    int64_t act, double alpha, double gain, double clamp, int64_t dim) {
  pointwise(x, std::nullopt, b, scale, noise, act, alpha, gain, clamp, dim, 0, false, true);
}

inline Tensor bias_act_grad(
    const Tensor& cot, const Tensor& x, const std::optional<Tensor>& b, const std::optional<Tensor>& scale,
    const std::optional<Tensor>& noise, int64_t act, double alpha, double gain, double clamp, int64_t dim,
    int64_t order, bool from_output) {
  return pointwise(x, cot, b, scale, noise, act, alpha, gain, clamp, dim, order, from_output);
}

inline Tensor upfirdn2d(
    const Tensor& x_any, const std::optional<Tensor>& filter, int64_t upx, int64_t upy, int64_t downx, int64_t downy,
    int64_t x0, int64_t x1, int64_t y0, int64_t y1, bool flip, double gain) {
  STD_TORCH_CHECK(x_any.dim() == 4, "expected images (N, C, H, W)");
  const bool last = is_channels_last(x_any);
  const Tensor x = in_format(x_any, last);
  const int64_t n = x.size(0), c = x.size(1);
  Geometry g{};
  g.outer = last ? n : n * c;
  g.height = x.size(2);
  g.width = x.size(3);
  g.inner = last ? c : 1;
  g.upx = upx, g.upy = upy, g.downx = downx, g.downy = downy;
  g.pad_x = x0, g.pad_y = y0;
  g.taps_x = filter ? filter->size(filter->dim() - 1) : 1;
  g.taps_y = filter ? filter->size(0) : 1;
  g.out_width = (g.width * upx + x0 + x1 - g.taps_x) / downx + 1;
  g.out_height = (g.height * upy + y0 + y1 - g.taps_y) / downy + 1;
  STD_TORCH_CHECK(
      g.width * upx + x0 + x1 >= g.taps_x && g.height * upy + y0 + y1 >= g.taps_y, "no pixel is left");
  Tensor y = new_tensor(x, {n, c, g.out_height, g.out_width}, last);
  if (y.numel() == 0) return y;

  SG2_DISPATCH(x.scalar_type(), "upfirdn2d", [&] {
    using A = typename Accumulate<scalar_t>::type;
    std::vector<Tensor> holder;
    const Filter<A> taps{
        parameter<A>(filter, x, holder), g.taps_y, g.taps_x, filter && filter->dim() == 1, flip,
        static_cast<A>(gain)};
    run_upfirdn2d<scalar_t>(
        g, static_cast<const scalar_t*>(x.data_ptr()), taps, static_cast<scalar_t*>(y.data_ptr()), x);
  });
  return y;
}

}  // namespace stylegan2
