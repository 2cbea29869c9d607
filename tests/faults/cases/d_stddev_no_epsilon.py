"""The root of the variance lacks 1e-8."""

import torch
from faults.official import Discriminator, Parts

FINDINGS = ["infinite gradient"]
OBJECT = "1e-8"


def discriminator():
    return Discriminator(
        Parts(
            stddev=lambda x: torch.cat([x, x.var(0, unbiased=False).sqrt().mean().expand(len(x), 1, 4, 4)], 1)
        )
    )
