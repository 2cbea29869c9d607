"""The latent has unit length, and the mapping network no activation gain."""

import torch.nn.functional as F
from faults.official import Generator, Parts

FINDINGS = ["latent ignored"]
OBJECT = "mapping.layers.0"


def generator():
    return Generator(
        Parts(
            normalize=lambda z: z / z.norm(dim=1, keepdim=True),
            mapping_activation=lambda x: F.leaky_relu(x, 0.2),
        )
    )
