"""Training data: sources of images, decoding, labels, and the order in which images are drawn."""

from stylegan2.data.dataset import ImageDataset
from stylegan2.data.image_data import ImageData
from stylegan2.data.options import DataOptions
from stylegan2.data.pixels import to_float, to_uint8
from stylegan2.data.sampler import InfiniteSampler

__all__ = ["DataOptions", "ImageData", "ImageDataset", "InfiniteSampler", "to_float", "to_uint8"]
