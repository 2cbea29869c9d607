"""Normalizations of layers, chosen by name, and as modules for any network.

A normalization of features is a module (N, C, H, W) -> (N, C, H, W), and one of weights is a parametrization of
kernels (O, I, k, k). Each stands in a file of this package or in a user's module, and is registered under a name. The
names are choices of `GeneratorConfig.normalization`, `DiscriminatorConfig.normalization`, `weight_normalization` of
both, and `Scalings.style_normalization`.
"""

from .activation import ActNorm
from .adaptive_instance import AdaptiveInstanceNorm
from .attentive import AttentiveNorm
from .base import Convolution as Convolution
from .base import FeatureNormalization as FeatureNormalization
from .base import Normalization as Normalization
from .base import WeightNormalization as WeightNormalization
from .base import in_layers as in_layers
from .base import normalizations as normalizations
from .base import on_weights as on_weights
from .batch import BatchNorm
from .batch_channel import BatchChannelNorm
from .conditional_batch import ConditionalBatchNorm
from .conditional_instance import ConditionalInstanceNorm
from .convert import convert_normalization as convert_normalization
from .cosine import CosineConv2d
from .decorrelated_batch import DecorrelatedBatchNorm
from .dynamic_tanh import DynamicTanh
from .filter_response import FilterResponseNorm
from .group import GroupNorm
from .inplace_abn import InPlaceABN
from .instance import InstanceNorm
from .instance_meta import InstanceMetaNorm
from .layer import LayerNorm
from .local_contrast import LocalContrastNorm
from .local_response import LocalResponseNorm
from .mixture import MixtureNorm
from .mode import ModeNorm
from .online import OnlineNorm
from .options import NormalizationOptions as NormalizationOptions
from .pixel import PixelNorm
from .rms import RMSNorm
from .running_magnitude import RunningMagnitude
from .sparse_switchable import SparseSwitchableNorm
from .stable_rank import StableRankNorm
from .switchable import SwitchableNorm
from .sync_batch import SyncBatchNorm
from .virtual_batch import VirtualBatchNorm
from .weight import WeightNorm
from .weight_standardization import WeightStandardization

__all__ = [
    "ActNorm",
    "AdaptiveInstanceNorm",
    "AttentiveNorm",
    "BatchChannelNorm",
    "BatchNorm",
    "ConditionalBatchNorm",
    "ConditionalInstanceNorm",
    "CosineConv2d",
    "DecorrelatedBatchNorm",
    "DynamicTanh",
    "FilterResponseNorm",
    "GroupNorm",
    "InPlaceABN",
    "InstanceMetaNorm",
    "InstanceNorm",
    "LayerNorm",
    "LocalContrastNorm",
    "LocalResponseNorm",
    "MixtureNorm",
    "ModeNorm",
    "Normalization",
    "OnlineNorm",
    "PixelNorm",
    "RMSNorm",
    "RunningMagnitude",
    "SparseSwitchableNorm",
    "StableRankNorm",
    "SwitchableNorm",
    "SyncBatchNorm",
    "VirtualBatchNorm",
    "WeightNorm",
    "WeightStandardization",
    "convert_normalization",
    "in_layers",
    "normalizations",
    "on_weights",
]
