// Launches the CUDA kernels. Both ops are bound by memory bandwidth. So every thread starts several
// independent loads of 16 bytes, and neighboring threads read shared values from the first-level cache.
//
// A kernel is an object whose call operator does the work of one thread of one block. It uses no shared
// memory. So the same code can be compiled as C++ with SG2_ON_HOST, and then runs on a machine without a GPU,
// one thread after another.
#pragma once

#include "ops.h"

#include <algorithm>

#ifndef SG2_ON_HOST
#include <cuda_runtime.h>
#include <torch/csrc/stable/accelerator.h>
#endif

namespace stylegan2 {
namespace {

constexpr int THREADS = 128;

#ifdef SG2_ON_HOST
template <typename Kernel>
void launch(const Kernel& kernel, int64_t blocks, const Tensor&) {
  torch::stable::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      for (int thread = 0; thread < THREADS; ++thread) kernel(block, thread);
  });
}
#else
template <typename Kernel>
__global__ void __launch_bounds__(THREADS) run(const Kernel kernel) {
  kernel(static_cast<int64_t>(blockIdx.x), static_cast<int>(threadIdx.x));
}

template <typename Kernel>
void launch(const Kernel& kernel, int64_t blocks, const Tensor& x) {
  STD_TORCH_CHECK(blocks < (int64_t(1) << 31), "the tensor is too large for one launch");
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  void* stream;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  run<<<static_cast<unsigned>(blocks), THREADS, 0, static_cast<cudaStream_t>(stream)>>>(kernel);
  const cudaError_t error = cudaGetLastError();
  STD_TORCH_CHECK(error == cudaSuccess, "CUDA kernel launch failed: ", cudaGetErrorString(error));
}
#endif

// V neighboring values that one instruction loads or stores.
template <typename T, int V>
struct alignas(sizeof(T) * V) Pack {
  T v[V];
};

template <typename T>
constexpr int WIDE = 16 / sizeof(T);

template <typename T, int V>
bool aligned(const T* p) {
  return reinterpret_cast<uintptr_t>(p) % (sizeof(T) * V) == 0;
}

}  // namespace
}  // namespace stylegan2

#ifdef SG2_ON_HOST
#define SG2_DEVICE CPU
#define SG2_LIBRARY stylegan2_on_host
#else
#define SG2_DEVICE CUDA
#define SG2_LIBRARY stylegan2
#endif
