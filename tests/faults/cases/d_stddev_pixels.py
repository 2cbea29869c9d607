"""The standard deviation is over pixels."""

import torch
from faults.official import Discriminator, Parts

FINDINGS = ["minibatch statistic sees one image"]
OBJECT = "samples"


def discriminator():
    return Discriminator(
        Parts(
            stddev=lambda x: torch.cat(
                [x, x.std((2, 3), keepdim=True).mean(1, keepdim=True).expand(-1, -1, 4, 4)], 1
            )
        )
    )
