"""The operations StyleGAN2 adds to convolution: FIR resampling, and bias with activation."""

from stylegan2.kernels.weight_cache import fixed_weights, once
from stylegan2.ops.bias_act import activations, bias_act
from stylegan2.ops.conv2d_resample import conv2d_resample
from stylegan2.ops.upfirdn2d import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

__all__ = [
    "activations",
    "bias_act",
    "conv2d_resample",
    "downsample2d",
    "filter2d",
    "fixed_weights",
    "once",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]
