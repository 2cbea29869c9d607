// 16 floats at once: the compiler's vectors, which work on any processor.
#pragma once

#include <cstring>

namespace stylegan2 {

typedef float Lanes __attribute__((vector_size(64)));

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

}  // namespace stylegan2
