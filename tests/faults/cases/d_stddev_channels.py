"""The standard deviation is over channels."""

import torch
from faults.official import Discriminator, Parts

FINDINGS = ["minibatch statistic sees one image"]
OBJECT = "samples"


def discriminator():
    return Discriminator(
        Parts(
            stddev=lambda x: torch.cat(
                [x, (x.var(1, keepdim=True) + 1e-8).sqrt().mean((2, 3), keepdim=True).expand(-1, -1, 4, 4)], 1
            )
        )
    )
