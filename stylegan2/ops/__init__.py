"""The operations that StyleGAN2 adds to convolution, each defined in plain PyTorch."""

from .autocast import outside_autocast
from .bias_act import Activation, activations, bias_act
from .conv2d_resample import conv2d, conv2d_resample, conv_transpose2d
from .replaceable import definitions_only, replace, replaceable
from .upfirdn2d import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

__all__ = [
    "Activation",
    "activations",
    "bias_act",
    "conv2d",
    "conv2d_resample",
    "conv_transpose2d",
    "definitions_only",
    "downsample2d",
    "filter2d",
    "outside_autocast",
    "replace",
    "replaceable",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]
