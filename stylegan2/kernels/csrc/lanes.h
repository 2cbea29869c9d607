// Vectors of floats, as wide as the processor's registers, with the compiler's vector extension.
#pragma once

#include <torch/headeronly/util/BFloat16.h>

#include <cstdint>
#include <cstring>

namespace stylegan2 {

using torch::headeronly::BFloat16;

#if defined(__AVX512F__)
constexpr int WIDTH = 16;
#elif defined(__AVX__)
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif
typedef float Lanes __attribute__((vector_size(4 * WIDTH)));

// V is Lanes for a vector, or float for a single number.
template <typename V = Lanes>
inline V load(const float* from) {
  V v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}

template <typename V>
inline void save(float* to, const V& v) {
  std::memcpy(to, &v, sizeof(v));
}

typedef uint16_t HalfBits __attribute__((vector_size(2 * WIDTH)));
typedef uint32_t Bits __attribute__((vector_size(4 * WIDTH)));

template <typename V = Lanes>
inline V load(const BFloat16* from) {
  if constexpr (sizeof(V) == sizeof(float)) {
    return static_cast<float>(*from);
  } else {
    HalfBits high;
    std::memcpy(&high, from, sizeof(high));
    const Bits bits = __builtin_convertvector(high, Bits) << 16;
    V v;
    std::memcpy(&v, &bits, sizeof(v));
    return v;
  }
}

// Rounds to the nearest number, and ties to even.
template <typename V>
inline void save(BFloat16* to, const V& v) {
  if constexpr (sizeof(V) == sizeof(float)) {
    *to = static_cast<BFloat16>(v);
  } else {
    Bits bits;
    std::memcpy(&bits, &v, sizeof(bits));
    const Bits rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    const Bits high = v == v ? rounded : Bits{} + 0x7fc0;  // rounding could turn a NaN into an infinity
    const HalfBits half = __builtin_convertvector(high, HalfBits);
    std::memcpy(to, &half, sizeof(half));
  }
}

}  // namespace stylegan2
