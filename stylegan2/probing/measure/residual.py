"""What the blocks of a residual discriminator contribute to its features, and how alike their branches are.

The skip branches are linear. The features y that leave the last block are therefore a sum with one term for the image
and one for each block: its branch, after the skip branches of all later blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.networks.discriminator import Discriminator


@dataclass(frozen=True, kw_only=True)
class ResidualBlock:
    """One residual block, on a batch of images."""

    name: str
    skip: float
    """rms of the skip branch, with its factor."""
    branch: float
    """rms of the other branch, with its factor."""
    correlation: float | None
    """ρ = E[s·b]/(rms(s)·rms(b)) of the two branches s and b. None if one of them is 0."""
    output: float
    """rms of their sum. Its square is s² + b² + 2ρsb for branches of rms s and b."""
    share: float
    """⟨t, y⟩/⟨y, y⟩, where t is the block's term in the features y of the last block. The shares of all blocks and
    of the image sum to 1. A share is negative if the other terms cancel this one."""

    @property
    def keeping(self) -> float | None:
        """The common factor of both branches that gives their sum the mean of their variances.

        It is 1/√(2(1 + ρ)) for branches of equal size: 1/√2 for independent ones, and ½ for equal ones.
        """
        if self.correlation is None or not self.output:
            return None
        return ((self.skip**2 + self.branch**2) / 2) ** 0.5 / self.output


@torch.no_grad()
def residual_blocks(
    discriminator: Discriminator, images: Tensor, c: Tensor | None = None
) -> list[ResidualBlock]:
    """Measure every residual block, from the image down.

    Args:
        discriminator: A discriminator. The list is empty if its architecture is not resnet, or if it has virtual
            batch normalization, whose blocks do not run alone.
        images: Real images (N, C, H, W).
        c: Labels (N, num_classes), for a conditional normalization.
    """
    if discriminator.config.architecture != "resnet" or discriminator.reference is not None:
        return []
    blocks = {f"b{r}": getattr(discriminator, f"b{r}") for r in discriminator.resolutions}
    found: list[tuple[str, float, float, float | None, float]] = []
    terms: list[Tensor] = []
    x = None
    for name, block in blocks.items():
        y, _ = block(x, images if x is None else None, c)
        entering = block.fromrgb(images.to(y.dtype)) if x is None else x
        terms = terms or [entering]
        skip = block.skip(entering.to(y.dtype), gain=block.residual.skip)
        terms = [block.skip(term.to(y.dtype), gain=block.residual.skip) for term in terms] + [y - skip]
        found.append((name, _rms(skip), _rms(y - skip), _cosine(skip, y - skip), _rms(y)))
        x = y
    assert x is not None
    total = x.double().square().sum().item()
    shares = [(term.double() * x.double()).sum().item() / total if total else 0.0 for term in terms[1:]]
    return [
        ResidualBlock(name=name, skip=skip, branch=branch, correlation=rho, output=output, share=share)
        for (name, skip, branch, rho, output), share in zip(found, shares)
    ]


def _rms(x: Tensor) -> float:
    return x.double().square().mean().sqrt().item()


def _cosine(a: Tensor, b: Tensor) -> float | None:
    a, b = a.double(), b.double()
    size = (a.norm() * b.norm()).item()
    return (a * b).sum().item() / size if size else None
