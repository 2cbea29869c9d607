"""Instance normalization of maps of one pixel makes them zero."""

from faults.foreign import DCGAN
from torch import nn

FINDINGS = ["latent ignored", "normalization leaves nothing"]
OBJECT = "body.0"


def generator():
    g = DCGAN()
    g.body.insert(0, nn.GroupNorm(64, 64))
    return g
