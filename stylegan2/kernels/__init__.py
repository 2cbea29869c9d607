"""Fast implementations of the ops and layers. Importing this package registers them and compiles nothing.

Each of them replaces a definition of the same name (`stylegan2.ops.replaceable`) and is tested against it.
The environment variable `STYLEGAN2_KERNELS` (auto, require, off) controls the compiled ones: docs/kernels.md.
"""

from collections.abc import Callable

from stylegan2.ops import definitions_only as off
from stylegan2.ops import replace

from . import convolution, dispatch, layers, normalization
from .build import available
from .weight_cache import fixed_weights

__all__ = ["available", "fixed_weights", "off"]

_REPLACEMENTS: dict[str, Callable[..., object]] = {
    "upfirdn2d": dispatch.upfirdn2d,
    "bias_act": dispatch.bias_act,
    "conv2d": convolution.conv2d,
    "conv_transpose2d": convolution.conv_transpose2d,
    "equalized": layers.equalized,
    "modulated_conv2d": layers.modulated_conv2d,
    "filter_response": normalization.filter_response,
    "choose_memory_order": layers.choose_memory_order,
}
for _name, _implementation in _REPLACEMENTS.items():
    replace(_name, _implementation)
