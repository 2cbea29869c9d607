// The CPU kernels. They are loops over short buffers, which stay in the first-level cache. The compiler
// vectorizes these loops, and PyTorch's threads share them. Both ops are bound by memory, so an additional
// buffer costs little.
#include "lanes.h"
#include "ops.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace stylegan2 {
namespace {

constexpr int64_t CHUNK = 1024;      // elements of a buffer
constexpr int64_t GRAIN = 32768;     // the smallest number of elements for which a thread is worthwhile
constexpr int64_t CACHE = 32 << 20;  // bytes; larger results would evict needed data from the caches

// Copies without going through the caches. This avoids reading the cache lines that will be overwritten.
inline void stream(char* to, const char* from, int64_t bytes) {
#if defined(__AVX512F__)
  const int64_t head = std::min<int64_t>(bytes, -reinterpret_cast<intptr_t>(to) & 63);
  std::memcpy(to, from, head);
  int64_t i = head;
  for (; i + 64 <= bytes; i += 64)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_loadu_si512(from + i));
  std::memcpy(to + i, from + i, bytes - i);
#else
  std::memcpy(to, from, bytes);
#endif
}

inline void finish_streams() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

// Stores u to y in the type of y.
template <typename T, typename A>
inline void store(T* __restrict y, const A* __restrict u, int64_t n, bool past_caches) {
  if (!past_caches) {
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(u[i]);
  } else if constexpr (std::is_same_v<T, A>) {
    stream(reinterpret_cast<char*>(y), reinterpret_cast<const char*>(u), n * sizeof(T));
  } else {
    alignas(64) T rounded[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
      const int64_t m = std::min(CHUNK, n - i);
      for (int64_t k = 0; k < m; ++k) rounded[k] = static_cast<T>(u[i + k]);
      stream(reinterpret_cast<char*>(y + i), reinterpret_cast<const char*>(rounded), m * sizeof(T));
    }
  }
}

// ----------------------------------------------------------------------------------------------- bias_act

// Overwrites u with the result. c is the incoming gradient, for orders 1 and 2.
template <Act F, typename A>
void finish(const Pointwise<A>& p, A* __restrict u, const A* __restrict c, int64_t n) {
  const A alpha = p.alpha, gain = p.gain, clamp = p.clamp;
  if (p.order == 0)
    for (int64_t i = 0; i < n; ++i) u[i] = activate<F, 0>(u[i], alpha, gain, clamp);
  else if (p.from_output)
    for (int64_t i = 0; i < n; ++i) u[i] = c[i] * slope_from_output(u[i], alpha, gain, clamp);
  else if (p.order == 1)
    for (int64_t i = 0; i < n; ++i) u[i] = c[i] * activate<F, 1>(u[i], alpha, gain, clamp);
  else
    for (int64_t i = 0; i < n; ++i) u[i] = c[i] * activate<F, 2>(u[i], alpha, gain, clamp);
}

template <typename A>
auto finisher(Act act) {
  switch (act) {
    case Act::linear: return finish<Act::linear, A>;
    case Act::relu: return finish<Act::relu, A>;
    case Act::lrelu: return finish<Act::lrelu, A>;
    case Act::tanh: return finish<Act::tanh, A>;
    case Act::sigmoid: return finish<Act::sigmoid, A>;
    case Act::elu: return finish<Act::elu, A>;
    case Act::selu: return finish<Act::selu, A>;
    case Act::softplus: return finish<Act::softplus, A>;
    default: return finish<Act::swish, A>;
  }
}

}  // namespace

template <typename T>
void run_bias_act(
    const Pointwise<typename Accumulate<T>::type>& p, const T* x, const T* cot, T* y, const Tensor&) {
  using A = typename Accumulate<T>::type;
  const bool plain = p.from_output || !(p.b || p.scale || p.noise);  // x needs no bias, scale or noise
  const bool channels_inside = !plain && p.inner == 1;
  const int64_t channels = p.channels, inner = p.inner, pixels = p.pixels;
  const auto finish = finisher<A>(p.act);
  const bool past_caches = y != x && p.size * int64_t(sizeof(T)) >= CACHE;
  torch::stable::parallel_for(0, p.size, GRAIN, [&](int64_t begin, int64_t end) {
    alignas(64) A u[CHUNK], c[CHUNK];
    // If the channels are the innermost dimension, bias and scale are repeated to more than the length of a
    // buffer. Loops are then equally long for any number of channels.
    std::vector<A> bias, scale;
    int64_t last_image = -1;
    if (channels_inside) {
      bias.resize(CHUNK + channels);
      scale.assign(CHUNK + channels, A(1));
      for (int64_t k = 0; k < CHUNK + channels; ++k) bias[k] = p.b ? p.b[k % channels] : A(0);
    }
    for (int64_t i = begin; i < end;) {
      int64_t n = std::min(end - i, CHUNK);
      const T* from = x + i;
      if (plain) {
        for (int64_t k = 0; k < n; ++k) u[k] = static_cast<A>(from[k]);
      } else if (channels_inside) {
        const int64_t first = i % channels, image = i / channels / pixels;
        n = std::min(n, (image + 1) * pixels * channels - i);
        if (p.scale && image != last_image)
          for (int64_t k = 0; k < CHUNK + channels; ++k) scale[k] = p.scale[image * channels + k % channels];
        last_image = image;
        const A* __restrict s = scale.data() + first;
        const A* __restrict b = bias.data() + first;
        for (int64_t k = 0; k < n; ++k) u[k] = static_cast<A>(from[k]) * s[k] + b[k];
        if (p.noise) {
          const A* noise = p.noise + image * p.noise_stride;
          int64_t pixel = i / channels % pixels;
          for (int64_t k = 0, next = channels - first; k < n; ++pixel, next += channels)
            for (const A value = noise[pixel]; k < std::min(n, next); ++k) u[k] += value;
        }
      } else {
        const int64_t plane = i / inner, first = i % inner;
        n = std::min(n, inner - first);
        const A b = p.b ? p.b[plane % channels] : A(0), s = p.scale ? p.scale[plane] : A(1);
        if (p.noise) {
          const A* __restrict noise = p.noise + plane / channels * p.noise_stride + first;
          for (int64_t k = 0; k < n; ++k) u[k] = static_cast<A>(from[k]) * s + (noise[k] + b);
        } else {
          for (int64_t k = 0; k < n; ++k) u[k] = static_cast<A>(from[k]) * s + b;
        }
      }
      if (cot)
        for (int64_t k = 0; k < n; ++k) c[k] = static_cast<A>(cot[i + k]);
      finish(p, u, c, n);
      store(y + i, u, n, past_caches);
      i += n;
    }
    if (past_caches) finish_streams();
  });
}

// ---------------------------------------------------------------------------------------------- upfirdn2d

namespace {

// Writes the weighted sum of N input rows to `line`.
template <int N, typename T, typename A>
void add_rows(const T* const* rows, const A* weights, int64_t n, A* __restrict line) {
  const T* r[N];
  A w[N];
  for (int j = 0; j < N; ++j) r[j] = rows[j], w[j] = weights[j];
  for (int64_t i = 0; i < n; ++i) {
    A sum = w[0] * static_cast<A>(r[0][i]);
    for (int j = 1; j < N; ++j) sum += w[j] * static_cast<A>(r[j][i]);
    line[i] = sum;
  }
}

template <typename T, typename A>
void add_rows(int count, const T* const* rows, const A* weights, int64_t n, A* __restrict line) {
  switch (count) {
    case 0: std::fill(line, line + n, A(0)); return;
    case 1: return add_rows<1>(rows, weights, n, line);
    case 2: return add_rows<2>(rows, weights, n, line);
    case 3: return add_rows<3>(rows, weights, n, line);
    default:
      add_rows<4>(rows, weights, n, line);
      for (int j = 4; j < count; ++j)
        for (int64_t i = 0; i < n; ++i) line[i] += weights[j] * static_cast<A>(rows[j][i]);
  }
}

// Applies a horizontal filter to a line and writes output columns [begin, end) to y[x·inner + c], or adds
// them to y if ADD. The line starts with input pixel `first` and includes the zeros of the padding, so no
// column is a special case.
template <bool ADD, typename T, typename A>
void filter_line(
    const Geometry& g, const A* __restrict line, int64_t first, const A* taps, int64_t begin, int64_t end,
    T* __restrict y) {
  const int64_t inner = g.inner, n = end - begin;
  const auto put = [&](int64_t i, A value) { y[i] = static_cast<T>(ADD ? static_cast<A>(y[i]) + value : value); };
  if (g.taps_x == 4 && g.upx == 1 && g.downx == 1) {  // one loop over all values, for either memory format
    const A a = taps[0], b = taps[1], c = taps[2], d = taps[3];
    const A *l1 = line + inner, *l2 = l1 + inner, *l3 = l2 + inner;
    for (int64_t i = 0; i < n * inner; ++i) put(i, a * line[i] + b * l1[i] + c * l2[i] + d * l3[i]);
  } else if (g.taps_x == 4 && g.upx == 1 && g.downx == 2 && inner == 1) {
    const A a = taps[0], b = taps[1], c = taps[2], d = taps[3];
    for (int64_t i = 0; i < n; ++i)
      put(i, a * line[2 * i] + b * line[2 * i + 1] + c * line[2 * i + 2] + d * line[2 * i + 3]);
  } else if (g.taps_x == 4 && g.upx == 2 && g.downx == 1 && inner == 1) {
    const Reach even = reach(begin, 2, 1, g.pad_x), odd = reach(begin + 1, 2, 1, g.pad_x);
    const A a = taps[even.tap], b = taps[even.tap + 2], c = taps[odd.tap], d = taps[odd.tap + 2];
    const A *le = line + (even.input - first), *lo = line + (odd.input - first);
    for (int64_t i = 0; i < n / 2; ++i) {
      put(2 * i, a * le[i] + b * le[i + 1]);
      put(2 * i + 1, c * lo[i] + d * lo[i + 1]);
    }
    if (n % 2) put(n - 1, a * le[n / 2] + b * le[n / 2 + 1]);
  } else {
    for (int64_t x = begin; x < end; ++x, y += inner) {
      const Reach r = reach(x, g.upx, g.downx, g.pad_x);
      const A* __restrict l = line + (r.input - first) * inner;
      const int count = r.tap < g.taps_x ? (g.taps_x - 1 - r.tap) / g.upx + 1 : 0;
      const A* t = taps + r.tap;
      const int up = g.upx;
      if (count == 2) {
        const A a = t[0], b = t[up];
        for (int64_t c = 0; c < inner; ++c) put(c, a * l[c] + b * l[c + inner]);
      } else if (count == 4) {
        const A a = t[0], b = t[up], d = t[2 * up], e = t[3 * up];
        for (int64_t c = 0; c < inner; ++c)
          put(c, a * l[c] + b * l[c + inner] + d * l[c + 2 * inner] + e * l[c + 3 * inner]);
      } else {
        for (int64_t c = 0; c < inner; ++c) {
          A sum = 0;
          for (int j = 0; j < count; ++j) sum += t[j * up] * l[c + j * inner];
          put(c, sum);
        }
      }
    }
  }
}

// Applies a separable filter of 4×4 taps without resampling, to features in float32 and channels last.
// Up-sampling layers do so after their convolution. Two output rows are computed together from five input
// rows. The vertical sums of a block of columns stay in the first-level cache.
struct SmallFilter {
  static constexpr int64_t CHANNELS = 128, FLOATS = 2048;  // of a block of FLOATS / channels columns

  const Geometry& g;
  const float *column, *row;
  bool past_caches;

  static bool fits(const Geometry& g) {
    return g.taps_x == 4 && g.taps_y == 4 && g.upx * g.upy * g.downx * g.downy == 1 && g.inner % 16 == 0;
  }

  // Computes output row oy of an image and, if `two`, output row oy + 1.
  void rows(const float* image, int64_t oy, bool two, float* y) const {
    alignas(64) static const float zeros[CHANNELS] = {};
    alignas(64) float sums[2][FLOATS + 3 * CHANNELS];
    const float* from[5];
    for (int j = 0; j < 5; ++j) {
      const int64_t iy = oy - g.pad_y + j;
      from[j] = iy >= 0 && iy < g.height ? image + iy * g.width * g.inner : nullptr;
    }
    const int64_t channels = std::min(g.inner, CHANNELS), columns = FLOATS / channels;
    for (int64_t begin = 0; begin < g.out_width; begin += columns) {
      const int64_t end = std::min(begin + columns, g.out_width);
      for (int64_t c0 = 0; c0 < g.inner; c0 += channels) {
        const int64_t n = std::min(channels, g.inner - c0);
        for (int64_t k = 0; k < end - begin + 3; ++k) {
          const int64_t ix = begin - g.pad_x + k, at = ix * g.inner + c0;
          const bool inside = ix >= 0 && ix < g.width;
          const float* x[5];
          for (int j = 0; j < 5; ++j) x[j] = inside && from[j] ? from[j] + at : zeros;
          for (int64_t c = 0; c < n; c += WIDTH) {
            const Lanes x1 = load(x[1] + c), x2 = load(x[2] + c), x3 = load(x[3] + c);
            save(sums[0] + k * n + c,
                 column[0] * load(x[0] + c) + column[1] * x1 + column[2] * x2 + column[3] * x3);
            save(sums[1] + k * n + c,
                 column[0] * x1 + column[1] * x2 + column[2] * x3 + column[3] * load(x[4] + c));
          }
        }
        for (int r = 0; r < 1 + two; ++r)
          for (int64_t ox = begin; ox < end; ++ox) {
            const float* s = sums[r] + (ox - begin) * n;
            float* to = y + ((oy + r) * g.out_width + ox) * g.inner + c0;
            for (int64_t c = 0; c < n; c += WIDTH)
              put(to + c, row[0] * load(s + c) + row[1] * load(s + n + c) + row[2] * load(s + 2 * n + c) +
                              row[3] * load(s + 3 * n + c));
          }
      }
    }
  }

  void put(float* to, Lanes v) const {
    if (past_caches)
      stream(reinterpret_cast<char*>(to), reinterpret_cast<const char*>(&v), sizeof(v));
    else
      save(to, v);
  }

  void run(const float* x, float* y) const {
    const int64_t pairs = (g.out_height + 1) / 2, image = g.out_height * g.out_width * g.inner;
    torch::stable::parallel_for(
        0, g.outer * pairs, std::max<int64_t>(1, GRAIN / (2 * g.out_width * g.inner)), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const int64_t n = i / pairs, oy = i % pairs * 2;
            rows(x + n * g.height * g.width * g.inner, oy, oy + 1 < g.out_height, y + n * image);
          }
          if (past_caches) finish_streams();
        });
  }
};

}  // namespace

template <typename T>
void run_upfirdn2d(
    const Geometry& g, const T* x, const Filter<typename Accumulate<T>::type>& filter, T* y, const Tensor&) {
  using A = typename Accumulate<T>::type;
  const bool past_caches = g.outer * g.out_height * g.out_width * g.inner * int64_t(sizeof(T)) >= CACHE;
  const int h = g.taps_y, w = g.taps_x;
  std::vector<A> taps(h * w), column(h), row(w);
  int pivot = 0;
  for (int i = 0; i < h * w; ++i) {
    taps[i] = filter(i / w, i % w);
    if (std::abs(taps[i]) > std::abs(taps[pivot])) pivot = i;
  }
  // If the filter is an outer product, input rows are summed first and the sum is filtered horizontally. This
  // takes two times 4 taps instead of 16. For other filters, each row is filtered horizontally and the
  // results are summed.
  const bool product = separate(taps.data(), h, w, pivot / w, pivot % w, column.data(), row.data());

  if constexpr (std::is_same_v<T, float>)
    if (product && SmallFilter::fits(g))
      return SmallFilter{g, column.data(), row.data(), past_caches}.run(x, y);

  // Blocks of columns are so small that the input rows of a filter stay in the first-level cache.
  const int64_t inner = g.inner;
  const int64_t columns = std::min(std::max<int64_t>(1, (inner == 1 ? CHUNK : 8 * CHUNK) / inner), g.out_width);
  const int64_t blocks = ceil_div(g.out_width, columns);
  const int64_t span = columns * g.downx / g.upx + w + 4;

  torch::stable::parallel_for(
      0, g.outer * blocks * g.out_height, std::max<int64_t>(1, GRAIN / (columns * inner)),
      [&](int64_t begin, int64_t end) {
        std::vector<A> line(span * inner), sum(columns * inner), weights(h);
        std::vector<const T*> rows(h);
        for (int64_t item = begin; item < end; ++item) {
          const int64_t oy = item % g.out_height, block = item / g.out_height % blocks;
          const int64_t image = item / g.out_height / blocks;
          const int64_t ox0 = block * columns, ox1 = std::min(ox0 + columns, g.out_width);
          const int64_t first = reach(ox0, g.upx, g.downx, g.pad_x).input;
          const int64_t left = std::clamp<int64_t>(-first, 0, span);
          const int64_t right = std::clamp<int64_t>(g.width - first, left, span);
          A* inside = line.data() + left * inner;
          std::fill(line.data(), inside, A(0));
          std::fill(line.begin() + right * inner, line.end(), A(0));

          const Reach r = reach(oy, g.upy, g.downy, g.pad_y);
          int count = 0;
          int64_t iy = r.input;
          for (int t = r.tap; t < h; t += g.upy, ++iy) {
            if (iy < 0 || iy >= g.height) continue;
            rows[count] = x + ((image * g.height + iy) * g.width + first + left) * inner;
            weights[count++] = product ? column[t] : A(t);
          }
          T* to = y + ((image * g.out_height + oy) * g.out_width + ox0) * inner;
          if (product) {
            add_rows(count, rows.data(), weights.data(), (right - left) * inner, inside);
            if (past_caches) {
              filter_line<false>(g, line.data(), first, row.data(), ox0, ox1, sum.data());
              store(to, sum.data(), (ox1 - ox0) * inner, true);
            } else {
              filter_line<false>(g, line.data(), first, row.data(), ox0, ox1, to);
            }
          } else {
            std::fill(sum.begin(), sum.end(), A(0));
            for (int j = 0; j < count; ++j) {
              const A one = 1;
              add_rows<1>(&rows[j], &one, (right - left) * inner, inside);
              filter_line<true>(g, line.data(), first, &taps[int(weights[j]) * w], ox0, ox1, sum.data());
            }
            store(to, sum.data(), (ox1 - ox0) * inner, past_caches);
          }
        }
        if (past_caches) finish_streams();
      });
}

}  // namespace stylegan2

STABLE_TORCH_LIBRARY_IMPL(stylegan2, CPU, m) {
  m.impl("upfirdn2d", TORCH_BOX(&stylegan2::upfirdn2d));
  m.impl("bias_act", TORCH_BOX(&stylegan2::bias_act));
  m.impl("bias_act_", TORCH_BOX(&stylegan2::bias_act_));
  m.impl("bias_act_grad", TORCH_BOX(&stylegan2::bias_act_grad));
}
