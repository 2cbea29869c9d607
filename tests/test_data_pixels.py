"""The two ranges of pixel values."""

import torch

from stylegan2.data.pixels import to_float, to_uint8


def test_float_and_uint8_are_inverse():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert to_float(values)[[0, 255]].tolist() == [-1, 1]
    assert to_uint8(torch.tensor([-3.0, 3.0, 0.0])).tolist() == [0, 255, 128]
