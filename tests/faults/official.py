"""StyleGAN2 written anew from its papers, small, with every formula replaceable by a faulty one (`Parts`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def second_moment(z: Tensor) -> Tensor:
    return z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def scaled_lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def demodulated(w: Tensor) -> Tensor:
    """Kernels (N, O, I, k, k) of length 1."""
    return w * (w.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()


def pixel_noise(x: Tensor) -> Tensor:
    return torch.randn(x.shape[0], 1, x.shape[2], x.shape[3])


def minibatch_stddev(x: Tensor, group: int = 4) -> Tensor:
    n, c, h, w = x.shape
    y = x.reshape(group, n // group, c, h, w)
    y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return torch.cat([x, y.repeat(group)[:, None, None, None].expand(n, 1, h, w)], 1)


def no_rgb_demodulation(w: Tensor) -> Tensor:
    return w


@dataclass(frozen=True)
class Parts:
    """The formulas. Each planted fault replaces one."""

    normalize: Callable[[Tensor], Tensor] = second_moment
    activate: Callable[[Tensor], Tensor] = scaled_lrelu
    demodulate: Callable[[Tensor], Tensor] = demodulated
    rgb_demodulate: Callable[[Tensor], Tensor] = no_rgb_demodulation
    noise: Callable[[Tensor], Tensor] | None = pixel_noise
    stddev: Callable[[Tensor], Tensor] = minibatch_stddev
    residual_gain: float = math.sqrt(0.5)
    rgb_gain: Callable[[int], float] = lambda fan_in: 1 / math.sqrt(fan_in)
    conv_gain: Callable[[int], float] = lambda fan_in: 1 / math.sqrt(fan_in)
    first_conv_gain: float = 1.0
    linear_gain: Callable[[int], float] = lambda fan_in: 1 / math.sqrt(fan_in)
    last_gain: float = 1.0
    up_gain: float = 4.0
    mapping_activation: Callable[[Tensor], Tensor] = scaled_lrelu
    w_of: Callable[[Tensor], Tensor] = lambda w: w
    z_of: Callable[[Tensor], Tensor] = lambda z: z
    image_of: Callable[[Tensor], Tensor] = lambda image: image
    logits_of: Callable[[Tensor], Tensor] = lambda logits: logits


TAPS = torch.tensor([1.0, 3, 3, 1])
FILTER = TAPS[:, None] * TAPS[None] / 64


def blur(x: Tensor, gain: float, pad: tuple[int, int]) -> Tensor:
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n * c, 1, h, w), (*pad, *pad))
    x = F.conv2d(x, (FILTER * gain)[None, None])
    return x.reshape(n, c, x.shape[2], x.shape[3])


def upsample(x: Tensor, gain: float) -> Tensor:
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, 1, 0, 0, 0, 1)).reshape(n, c, 2 * h, 2 * w)
    return blur(x, gain, (2, 1))


def downsample(x: Tensor) -> Tensor:
    return blur(x, 1.0, (1, 1))[:, :, ::2, ::2]


class Linear(nn.Module):
    def __init__(self, a, b, parts, bias=0.0, activate=None, lr=1.0):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.randn(b, a) / lr),
            nn.Parameter(torch.full((b,), bias / lr)),
        )
        self.gain, self.lr, self.activate = parts.linear_gain(a) * lr, lr, activate

    def forward(self, x):
        y = F.linear(x, self.weight * self.gain, self.bias * self.lr)
        return self.activate(y) if self.activate else y


class Conv(nn.Module):
    def __init__(self, a, b, k, parts, gain=1.0, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a, k, k))
        self.bias = nn.Parameter(torch.zeros(b)) if bias else None
        self.gain, self.k = parts.conv_gain(a * k * k) * gain, k

    def forward(self, x):
        return F.conv2d(x, self.weight * self.gain, self.bias, padding=self.k // 2)


class Modulated(nn.Module):
    def __init__(self, a, b, k, w_dim, parts, gain=1.0):
        super().__init__()
        self.affine = Linear(w_dim, a, parts, bias=1.0)
        self.weight, self.k, self.gain = nn.Parameter(torch.randn(b, a, k, k)), k, gain

    def forward(self, x, w, demodulate):
        n, c, h, width = x.shape
        kernel = demodulate(self.weight[None] * self.gain * self.affine(w)[:, None, :, None, None])
        kernel = kernel.reshape(-1, c, self.k, self.k)
        y = F.conv2d(x.reshape(1, n * c, h, width), kernel, padding=self.k // 2, groups=n)
        return y.reshape(n, -1, h, width)


class Styled(nn.Module):
    def __init__(self, a, b, w_dim, parts, up=False):
        super().__init__()
        self.conv = Modulated(a, b, 3, w_dim, parts)
        self.noise_strength, self.bias = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(b))
        self.parts, self.up = parts, up

    def forward(self, x, w):
        if self.up:
            x = upsample(x, self.parts.up_gain)
        x = self.conv(x, w, self.parts.demodulate)
        if self.parts.noise is not None:
            x = x + self.noise_strength * self.parts.noise(x)
        return self.parts.activate(x + self.bias[:, None, None])


class ToRGB(nn.Module):
    def __init__(self, a, w_dim, parts):
        super().__init__()
        self.conv = Modulated(a, 3, 1, w_dim, parts, gain=parts.rgb_gain(a))
        self.bias, self.parts = nn.Parameter(torch.zeros(1, 3, 1, 1)), parts

    def forward(self, x, w):
        return self.conv(x, w, self.parts.rgb_demodulate) + self.bias


class Mapping(nn.Module):
    def __init__(self, dim, layers, parts):
        super().__init__()
        self.parts = parts
        self.layers = nn.ModuleList(
            Linear(dim, dim, parts, activate=parts.mapping_activation, lr=0.01) for _ in range(layers)
        )

    def forward(self, z):
        x = self.parts.normalize(z)
        for layer in self.layers:
            x = layer(x)
        return x


class Generator(nn.Module):
    def __init__(self, parts=Parts(), dim=64, width=32, resolution=32, layers=8):  # noqa: B008
        super().__init__()
        torch.manual_seed(0)
        self.parts, self.dim = parts, dim
        self.mapping = Mapping(dim, layers, parts)
        self.const = nn.Parameter(torch.randn(1, width, 4, 4))
        self.first, self.first_rgb = Styled(width, width, dim, parts), ToRGB(width, dim, parts)
        blocks = int(math.log2(resolution)) - 2
        self.convs = nn.ModuleList(Styled(width, width, dim, parts, up=i % 2 == 0) for i in range(2 * blocks))
        self.to_rgb = nn.ModuleList(ToRGB(width, dim, parts) for _ in range(blocks))
        self.num_ws = 2 * blocks + 2

    def synthesis(self, ws):
        x = self.first(self.const.repeat(len(ws), 1, 1, 1), ws[:, 0])
        image = self.first_rgb(x, ws[:, 1])
        for i, to_rgb in enumerate(self.to_rgb):
            x = self.convs[2 * i](x, ws[:, 2 * i + 1])
            x = self.convs[2 * i + 1](x, ws[:, 2 * i + 2])
            image = upsample(image, self.parts.up_gain) + to_rgb(x, ws[:, 2 * i + 3])
        return self.parts.image_of(image)

    def forward(self, z):
        w = self.parts.w_of(self.mapping(self.parts.z_of(z)))
        return self.synthesis(w[:, None].repeat(1, self.num_ws, 1))


class Block(nn.Module):
    def __init__(self, a, b, parts, first=False):
        super().__init__()
        self.conv0, self.conv1 = (
            Conv(a, a, 3, parts, parts.first_conv_gain if first else 1.0),
            Conv(a, b, 3, parts),
        )
        self.skip, self.parts = Conv(a, b, 1, parts, bias=False), parts

    def forward(self, x):
        y = self.parts.activate(self.conv0(x))
        y = self.parts.activate(downsample(self.conv1(y)))
        return (y + self.skip(downsample(x))) * self.parts.residual_gain


class Discriminator(nn.Module):
    def __init__(self, parts=Parts(), width=32, resolution=32):  # noqa: B008
        super().__init__()
        torch.manual_seed(1)
        self.parts, blocks = parts, int(math.log2(resolution)) - 2
        self.from_rgb = Conv(3, width, 1, parts)
        self.blocks = nn.ModuleList(Block(width, width, parts, first=i == 1) for i in range(blocks))
        extra = parts.stddev(torch.zeros(4, width, 4, 4)).shape[1]
        self.conv = Conv(extra, width, 3, parts)
        self.fc, self.out = Linear(width * 16, width, parts, activate=parts.activate), Linear(width, 1, parts)

    def forward(self, x):
        x = self.parts.activate(self.from_rgb(x))
        for block in self.blocks:
            x = block(x)
        x = self.parts.activate(self.conv(self.parts.stddev(x)))
        return self.parts.logits_of(self.out(self.fc(x.flatten(1))) * self.parts.last_gain)
