// All first derivatives of a bias_act with a piecewise linear activation, in one pass over features in
// float32 and channels last. These are the gradient with respect to the input, and the sums that are the
// gradients with respect to bias, scale and noise.
#include <algorithm>
#include <vector>

#include "lanes.h"
#include "ops.h"

namespace stylegan2 {
namespace {

// This many pixels are summed in float32. The sums of these are added in double precision.
constexpr int64_t PIXELS = 16;
// Each range of this many elements has its own sums, which are added in a fixed order. So the result does not
// depend on the number of threads.
constexpr int64_t RANGE = 32768;

float total(const float* x, int64_t n) {
  Lanes sums{};
  int64_t i = 0;
  for (; i + WIDTH <= n; i += WIDTH) sums += load(x + i);
  float sum = 0;
  for (int j = 0; j < WIDTH; ++j) sum += sums[j];
  for (; i < n; ++i) sum += x[i];
  return sum;
}

// Adds `from` to `to`, and sets `from` to zero.
void flush(std::vector<float>& from, double* to) {
  for (size_t i = 0; i < from.size(); ++i) to[i] += from[i];
  std::fill(from.begin(), from.end(), 0.f);
}

// Divides rows of `channels` numbers into `results` equal groups, and writes the sum of each group.
void add_up(const std::vector<double>& rows, int64_t results, int64_t channels, float* to) {
  const int64_t count = rows.size() / channels / results;
  std::vector<double> sums(channels);
  for (int64_t i = 0; i < results; ++i) {
    std::fill(sums.begin(), sums.end(), 0.);
    for (int64_t r = i * count; r < (i + 1) * count; ++r)
      for (int64_t k = 0; k < channels; ++k) sums[k] += rows[r * channels + k];
    std::copy(sums.begin(), sums.end(), to + i * channels);
  }
}

}  // namespace

// The shapes are (N, C, H, W) for cot, x and grad_x, (C,) for grad_b, (N, C) for grad_scale and (N, 1, H, W)
// for grad_noise. The last three are optional. The other arguments are those of bias_act. If `from_output`, x
// is the result of bias_act.
void bias_act_backward(
    const Tensor& cot, const Tensor& x, const std::optional<Tensor>& b, const std::optional<Tensor>& scale,
    const std::optional<Tensor>& noise, int64_t act, double alpha_, double gain_, double clamp_, bool from_output,
    Tensor grad_x, const std::optional<Tensor>& grad_b, const std::optional<Tensor>& grad_scale,
    const std::optional<Tensor>& grad_noise) {
  STD_TORCH_CHECK(
      is_channels_last(cot) && is_channels_last(x) && x.scalar_type() == ScalarType::Float &&
          cot.scalar_type() == ScalarType::Float && sizes_of(cot) == sizes_of(x),
      "expected float32 features, channels last");
  const float alpha = negative_slope(act, alpha_), gain = gain_;
  const float clamp = clamp_ < 0 ? std::numeric_limits<float>::infinity() : clamp_;
  const int64_t images = x.size(0), channels = x.size(1), pixels = x.size(2) * x.size(3);
  std::vector<Tensor> holder;
  const float *biases = parameter<float>(b, x, holder), *scales = parameter<float>(scale, x, holder);
  const float* noises = parameter<float>(noise, x, holder);
  const int64_t noise_stride = noise && noise->numel() > pixels ? pixels : 0;
  float* noise_sums = grad_noise ? static_cast<float*>(grad_noise->data_ptr()) : nullptr;
  const int64_t ranges = std::max<int64_t>(1, pixels * channels / RANGE), range = (pixels + ranges - 1) / ranges;
  std::vector<double> sums_b(grad_b ? images * ranges * channels : 0);
  std::vector<double> sums_scale(grad_scale ? images * ranges * channels : 0);
  const std::vector<float> ones(channels, 1.f), zeros(channels, 0.f);
  const float *inputs = static_cast<const float*>(x.data_ptr()), *cots = static_cast<const float*>(cot.data_ptr());
  float* results = static_cast<float*>(grad_x.data_ptr());

  torch::stable::parallel_for(0, images * ranges, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> inner(channels), sum_b(grad_b ? channels : 0), sum_scale(grad_scale ? channels : 0);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / ranges, last = std::min((i % ranges + 1) * range, pixels);
      const float* __restrict s = scales ? scales + image * channels : ones.data();
      const float* __restrict bias = biases ? biases : zeros.data();
      float* __restrict d = inner.data();
      for (int64_t pixel = i % ranges * range; pixel < last; ++pixel) {
        const int64_t at = image * pixels + pixel;
        const float* __restrict from = inputs + at * channels;
        const float* __restrict c = cots + at * channels;
        float* __restrict to = results + at * channels;
        if (from_output) {
          for (int64_t k = 0; k < channels; ++k) d[k] = c[k] * slope_from_output(from[k], alpha, gain, clamp);
        } else {
          const float shift = noises ? noises[image * noise_stride + pixel] : 0.f;
          for (int64_t k = 0; k < channels; ++k)
            d[k] = c[k] * activate<Act::lrelu, 1>(from[k] * s[k] + (shift + bias[k]), alpha, gain, clamp);
        }
        for (size_t k = 0; k < sum_b.size(); ++k) sum_b[k] += d[k];
        for (size_t k = 0; k < sum_scale.size(); ++k) sum_scale[k] += d[k] * from[k];
        if (noise_sums) noise_sums[at] = total(d, channels);
        for (int64_t k = 0; k < channels; ++k) to[k] = d[k] * s[k];
        if (pixel % PIXELS == PIXELS - 1 || pixel == last - 1) {
          flush(sum_b, sums_b.data() + i * channels);
          flush(sum_scale, sums_scale.data() + i * channels);
        }
      }
    }
  });
  if (grad_b) add_up(sums_b, 1, channels, static_cast<float*>(grad_b->data_ptr()));
  if (grad_scale) add_up(sums_scale, images, channels, static_cast<float*>(grad_scale->data_ptr()));
}

}  // namespace stylegan2

STABLE_TORCH_LIBRARY_IMPL(stylegan2, CPU, m) { m.impl("bias_act_backward", TORCH_BOX(&stylegan2::bias_act_backward)); }
