"""Small healthy GANs that are not StyleGAN2, for planted faults: DCGAN, SNGAN, a U-Net, a dictionary as output."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


class DCGAN(nn.Module):
    """Transposed convolutions with batch norm (Radford et al. 2016): z (N, 64) -> images (N, 3, 32, 32)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layers, sizes = [], [64, 64, 32, 16]
        for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
            conv = nn.ConvTranspose2d(a, b, 4, *((1, 0) if i == 0 else (2, 1)), bias=False)
            layers += [conv, nn.BatchNorm2d(b), nn.ReLU()]
        self.body, self.to_image = nn.Sequential(*layers), nn.ConvTranspose2d(16, 3, 4, 2, 1)
        for module in self.modules():
            if isinstance(module, nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0, 0.02)

    def forward(self, z):
        return self.to_image(self.body(z[:, :, None, None])).tanh()


class ResidualBlock(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv0, self.conv1, self.skip = (
            spectral_norm(nn.Conv2d(a, b, 3, padding=1)),
            spectral_norm(nn.Conv2d(b, b, 3, padding=1)),
            spectral_norm(nn.Conv2d(a, b, 1)),
        )

    def forward(self, x):
        y = self.conv1(F.relu(self.conv0(F.relu(x))))
        return F.avg_pool2d(y, 2) + F.avg_pool2d(self.skip(x), 2)


class SNDiscriminator(nn.Module):
    """Residual blocks with spectral normalization (Miyato et al. 2018): images (N, 3, 32, 32) -> (N, 1)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.blocks = nn.Sequential(ResidualBlock(3, 32), ResidualBlock(32, 32), ResidualBlock(32, 32))
        self.out = spectral_norm(nn.Linear(32, 1))

    def forward(self, x):
        return self.out(F.relu(self.blocks(x)).sum((2, 3)))


class UNet(nn.Module):
    """An encoder and a decoder with concatenated skips and self-attention: z (N, 64) -> images (N, 3, 32, 32)."""

    def __init__(self, softmax_axis=-1):
        super().__init__()
        torch.manual_seed(0)
        self.axis, self.seed_map = softmax_axis, nn.Linear(64, 8 * 32 * 32)
        self.down = nn.ModuleList(nn.Conv2d(8 * 2**i, 16 * 2**i, 4, 2, 1) for i in range(3))
        self.qkv = nn.Conv2d(64, 192, 1)
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in [(64, 32), (64, 16), (32, 8)])
        self.norms = nn.ModuleList(nn.GroupNorm(4, c) for c in (32, 16, 8))
        self.to_image = nn.Conv2d(16, 3, 3, padding=1)

    def attention(self, x):
        q, k, v = self.qkv(x).flatten(2).chunk(3, 1)
        weights = (q.transpose(1, 2) @ k / 8).softmax(self.axis)
        return x + (v @ weights.transpose(1, 2)).reshape(x.shape)

    def forward(self, z):
        x, skips = self.seed_map(z).reshape(-1, 8, 32, 32), []
        for conv in self.down:
            skips.append(x)
            x = F.silu(conv(x))
        x = self.attention(x)
        for conv, norm in zip(self.up, self.norms):
            x = torch.cat([F.silu(norm(conv(x))), skips.pop()], 1)
        return self.to_image(x).tanh()


class DictGenerator(nn.Module):
    """Blocks that each get a chunk of z (Brock et al. 2019, split z) and pixel noise: z -> {"images": ...}."""

    def __init__(self, noise_batch=None, chunks=4):
        super().__init__()
        torch.manual_seed(0)
        self.noise_batch, self.chunks = noise_batch, chunks
        self.first = nn.Linear(64 // chunks + 64 % chunks, 32 * 16)
        self.styles = nn.ModuleList(nn.Linear(64 // chunks, 64) for _ in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(32, 32, 3, padding=1) for _ in range(3))
        self.strength = nn.Parameter(torch.full((3,), 0.1))
        self.to_image = nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, z):
        size = 64 // self.chunks
        first, *rest = z.split([size + 64 % self.chunks, *[size] * (self.chunks - 1)], 1)
        x = self.first(first).reshape(-1, 32, 4, 4)
        for style, conv, strength, chunk in zip(self.styles, self.convs, self.strength, rest):
            scale, shift = style(chunk)[:, :, None, None].chunk(2, 1)
            x = F.interpolate(F.instance_norm(x), scale_factor=2) * (1 + scale) + shift
            noise = torch.randn(self.noise_batch or len(x), 1, *x.shape[2:])
            x = F.relu(conv(x)) + strength * noise
        return {"images": self.to_image(x).tanh(), "latents": z}
