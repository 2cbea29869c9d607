// All first derivatives of a piecewise linear bias_act in one pass over the features, in float32 and channels last:
// by the input, and their sums that are those by bias, scale and noise.
#include <algorithm>
#include <mutex>
#include <vector>

#include "lanes.h"
#include "ops.h"

namespace stylegan2 {
namespace {

constexpr int64_t PIXELS = 16;  // summed in float32; sums of those in double precision

float total(const float* x, int64_t n) {
  Lanes sums{};
  int64_t i = 0;
  for (; i + WIDTH <= n; i += WIDTH) sums += load(x + i);
  float sum = 0;
  for (int j = 0; j < WIDTH; ++j) sum += sums[j];
  for (; i < n; ++i) sum += x[i];
  return sum;
}

// Adds `from` to `to`, and clears it.
template <typename T>
void flush(std::vector<T>& from, double* to) {
  for (size_t i = 0; i < from.size(); ++i) to[i] += from[i];
  std::fill(from.begin(), from.end(), T(0));
}

void to_float(const std::vector<double>& from, const std::optional<Tensor>& to) {
  if (to) std::copy(from.begin(), from.end(), static_cast<float*>(to->data_ptr()));
}

}  // namespace

// cot, x and grad_x (N, C, H, W), the rest as bias_act takes it, grad_b (C,), grad_scale (N, C) and grad_noise
// (N, 1, H, W) as far as wanted. `from_output`: x is the result of bias_act.
void bias_act_backward(
    const Tensor& cot, const Tensor& x, const std::optional<Tensor>& b, const std::optional<Tensor>& scale,
    const std::optional<Tensor>& noise, double alpha_, double gain_, double clamp_, bool from_output, Tensor grad_x,
    const std::optional<Tensor>& grad_b, const std::optional<Tensor>& grad_scale,
    const std::optional<Tensor>& grad_noise) {
  STD_TORCH_CHECK(
      is_channels_last(cot) && is_channels_last(x) && x.scalar_type() == ScalarType::Float &&
          cot.scalar_type() == ScalarType::Float && sizes_of(cot) == sizes_of(x),
      "expected float32 features, channels last");
  const float alpha = alpha_, gain = gain_, clamp = clamp_ < 0 ? std::numeric_limits<float>::infinity() : clamp_;
  const int64_t images = x.size(0), channels = x.size(1), pixels = x.size(2) * x.size(3);
  std::vector<Tensor> holder;
  const float *biases = parameter<float>(b, x, holder), *scales = parameter<float>(scale, x, holder);
  const float* noises = parameter<float>(noise, x, holder);
  const int64_t noise_stride = noise && noise->numel() > pixels ? pixels : 0;
  float* noise_sums = grad_noise ? static_cast<float*>(grad_noise->data_ptr()) : nullptr;
  std::vector<double> all_b(grad_b ? channels : 0), all_scale(grad_scale ? images * channels : 0);
  std::mutex lock;
  const std::vector<float> ones(channels, 1.f), zeros(channels, 0.f);

  torch::stable::parallel_for(0, images * pixels, 1 + 32768 / channels, [&](int64_t begin, int64_t end) {
    std::vector<float> inner(channels), sum_b(grad_b ? channels : 0), sum_scale(grad_scale ? channels : 0);
    std::vector<double> wide_b(sum_b.size()), wide_scale(sum_scale.size());
    while (begin < end) {
      const int64_t image = begin / pixels, image_end = std::min(end, (image + 1) * pixels);
      const int64_t last = std::min(image_end, begin + PIXELS);
      const float* __restrict s = scales ? scales + image * channels : ones.data();
      const float* __restrict bias = biases ? biases : zeros.data();
      float* __restrict d = inner.data();
      for (int64_t pixel = begin; pixel < last; ++pixel) {
        const float* __restrict from = static_cast<const float*>(x.data_ptr()) + pixel * channels;
        const float* __restrict c = static_cast<const float*>(cot.data_ptr()) + pixel * channels;
        float* __restrict to = static_cast<float*>(grad_x.data_ptr()) + pixel * channels;
        if (from_output) {
          for (int64_t k = 0; k < channels; ++k) d[k] = c[k] * slope_from_output(from[k], alpha, gain, clamp);
        } else {
          const float shift = noises ? noises[image * noise_stride + pixel % pixels] : 0.f;
          for (int64_t k = 0; k < channels; ++k)
            d[k] = c[k] * activate<Act::lrelu, 1>(from[k] * s[k] + (shift + bias[k]), alpha, gain, clamp);
        }
        for (size_t k = 0; k < sum_b.size(); ++k) sum_b[k] += d[k];
        for (size_t k = 0; k < sum_scale.size(); ++k) sum_scale[k] += d[k] * from[k];
        if (noise_sums) noise_sums[pixel] = total(d, channels);
        for (int64_t k = 0; k < channels; ++k) to[k] = d[k] * s[k];
      }
      flush(sum_b, wide_b.data());
      flush(sum_scale, wide_scale.data());
      if (last == image_end) {
        const std::lock_guard<std::mutex> guard(lock);
        flush(wide_b, all_b.data());
        flush(wide_scale, all_scale.data() + image * channels);
      }
      begin = last;
    }
  });
  to_float(all_b, grad_b);
  to_float(all_scale, grad_scale);
}

}  // namespace stylegan2

STABLE_TORCH_LIBRARY_IMPL(stylegan2, CPU, m) { m.impl("bias_act_backward", TORCH_BOX(&stylegan2::bias_act_backward)); }
