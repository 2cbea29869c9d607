// Winograd's minimal filtering of 3×3 kernels (Lavin and Gray 2016): the linear maps to the domain in which a
// convolution is an element-wise product, and back. A number in that domain is called a point. Each map works
// on one axis, of one channel (V = float) or several channels (V = Lanes). `s` and `d` are the strides of its
// input and output. In that domain, kernels have 6 points per axis.
#pragma once

namespace stylegan2 {

// Stride 1 is F(4, 3), which computes 4 outputs from 6 inputs with 6 products instead of 12. The polynomials
// are interpolated at 0, ±√½, ±√2 and ∞. Errors are a quarter to half of those with the usual points 0, ±1,
// ±2 and ∞.
struct Plain {
  static constexpr int step = 4, out = 4;              // pixels from one tile to the next in input and output
  static constexpr int kernel[] = {0, 1, 2, 3, 4, 5};  // which of the kernel's points multiplies each point
  static constexpr float P = 0.70710678118654752440f, Q = 1.41421356237309504880f;

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
};

// Stride 2 needs every other pixel of a convolution. The outer taps multiply even pixels, which is F(4, 2),
// interpolated at ±½, ±1½ and ∞. The middle tap multiplies odd pixels, one product each. 4 outputs take 9
// products instead of 12.
struct Strided {
  static constexpr int step = 8, out = 4;
  static constexpr int kernel[] = {0, 1, 2, 3, 4, 5, 5, 5, 5};

  struct Input {
    static constexpr int from = 9, to = 9;
    template <typename V>
    static inline void axis(const V* x, int s, V* v, int d) {
      outer(x, 2 * s, v, d);
      for (int i = 0; i < 4; ++i) v[(5 + i) * d] = x[(2 * i + 1) * s];
    }
    template <typename V>
    static inline void outer(const V* x, int s, V* v, int d) {
      const V even_p = .5f * (x[2 * s] - 2.25f * x[0]), odd_p = x[3 * s] - 2.25f * x[s];
      const V even_q = 1.5f * (x[2 * s] - .25f * x[0]), odd_q = x[3 * s] - .25f * x[s];
      v[0] = odd_p + even_p;
      v[d] = odd_p - even_p;
      v[2 * d] = odd_q + even_q;
      v[3 * d] = odd_q - even_q;
      v[4 * d] = x[4 * s] - 2.5f * x[2 * s] + .5625f * x[0];
    }
  };

  struct Output {
    static constexpr int from = 9, to = 4;
    template <typename V>
    static inline void axis(const V* m, int s, V* y, int d) {
      outer(m, s, y, d);
      for (int i = 0; i < 4; ++i) y[i * d] += m[(5 + i) * s];
    }
    template <typename V>
    static inline void outer(const V* m, int s, V* y, int d) {
      const V even_p = m[0] + m[s], odd_p = .5f * (m[0] - m[s]);
      const V even_q = m[2 * s] + m[3 * s], odd_q = 1.5f * (m[2 * s] - m[3 * s]);
      y[0] = even_p + even_q;
      y[d] = odd_p + odd_q;
      y[2 * d] = .25f * even_p + 2.25f * even_q;
      y[3 * d] = .25f * odd_p + 2.25f * odd_q + m[4 * s];
    }
  };

  struct OutputAdjoint {
    static constexpr int from = 4, to = 9;
    template <typename V>
    static inline void axis(const V* y, int s, V* m, int d) {
      const V even_p = y[0] + .25f * y[2 * s], odd_p = .5f * (y[s] + .25f * y[3 * s]);
      const V even_q = y[0] + 2.25f * y[2 * s], odd_q = 1.5f * (y[s] + 2.25f * y[3 * s]);
      m[0] = even_p + odd_p;
      m[d] = even_p - odd_p;
      m[2 * d] = even_q + odd_q;
      m[3 * d] = even_q - odd_q;
      m[4 * d] = y[3 * s];
      for (int i = 0; i < 4; ++i) m[(5 + i) * d] = y[i * s];
    }
  };

  struct Weight {
    static constexpr int from = 3, to = 6;
    template <typename V>
    static inline void axis(const V* w, int s, V* u, int d) {
      const V p = .5f * w[0], odd_p = .25f * w[2 * s], q = 1.f / 6.f * w[0], odd_q = .25f * w[2 * s];
      u[0] = -p - odd_p;
      u[d] = p - odd_p;
      u[2 * d] = q + odd_q;
      u[3 * d] = odd_q - q;
      u[4 * d] = w[2 * s];
      u[5 * d] = w[s];
    }
  };

  struct WeightAdjoint {
    static constexpr int from = 6, to = 3;
    template <typename V>
    static inline void axis(const V* u, int s, V* w, int d) {
      w[0] = .5f * (u[s] - u[0]) + 1.f / 6.f * (u[2 * s] - u[3 * s]);
      w[d] = u[5 * s];
      w[2 * d] = .25f * (u[2 * s] + u[3 * s] - u[0] - u[s]) + u[4 * s];
    }
  };
};

// The gradient of `Strided` with respect to its input, with kernels that are rotated by 180°. Even outputs
// use the two outer taps, and odd outputs the middle tap. The input of a tile starts one pixel before the
// tile.
struct Transposed {
  static constexpr int step = 4, out = 8;
  static constexpr auto& kernel = Strided::kernel;

  struct Input {
    static constexpr int from = 5, to = 9;
    template <typename V>
    static inline void axis(const V* x, int s, V* v, int d) {
      Strided::Input::outer(x, s, v, d);
      for (int i = 0; i < 4; ++i) v[(5 + i) * d] = x[(i + 1) * s];
    }
  };

  struct Output {
    static constexpr int from = 9, to = 8;
    template <typename V>
    static inline void axis(const V* m, int s, V* y, int d) {
      Strided::Output::outer(m, s, y, 2 * d);
      for (int i = 0; i < 4; ++i) y[(2 * i + 1) * d] = m[(5 + i) * s];
    }
  };

  using Weight = Strided::Weight;
};

}  // namespace stylegan2
