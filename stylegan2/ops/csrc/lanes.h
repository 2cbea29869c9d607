// 16 floats at once: the compiler's vectors, which work on any processor.
#pragma once

#include <torch/headeronly/util/BFloat16.h>

#include <cstdint>
#include <cstring>

namespace stylegan2 {

using torch::headeronly::BFloat16;

typedef float Lanes __attribute__((vector_size(64)));

// V is Lanes, or float for one number.
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

typedef uint16_t Half16 __attribute__((vector_size(32)));
typedef uint32_t Bits16 __attribute__((vector_size(64)));

template <typename V = Lanes>
inline V load(const BFloat16* from) {
  if constexpr (sizeof(V) == sizeof(float)) {
    return static_cast<float>(*from);
  } else {
    Half16 high;
    std::memcpy(&high, from, sizeof(high));
    const Bits16 bits = __builtin_convertvector(high, Bits16) << 16;
    V v;
    std::memcpy(&v, &bits, sizeof(v));
    return v;
  }
}

// Rounds to the nearest, ties to even.
template <typename V>
inline void save(BFloat16* to, const V& v) {
  if constexpr (sizeof(V) == sizeof(float)) {
    *to = static_cast<BFloat16>(v);
  } else {
    Bits16 bits;
    std::memcpy(&bits, &v, sizeof(bits));
    const Bits16 rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    const Bits16 high = v == v ? rounded : Bits16{} + 0x7fc0;  // not a number: rounding might make it infinite
    const Half16 half = __builtin_convertvector(high, Half16);
    std::memcpy(to, &half, sizeof(half));
  }
}

}  // namespace stylegan2
