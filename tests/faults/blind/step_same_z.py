"""The random generator of latents is made anew in every iteration, so that latents repeat."""

import torch
from faults.training import Training

FINDINGS = ["latents repeat"]
OBJECT = "latents"


class Faulty(Training):
    def step(self):
        self.random = torch.Generator().manual_seed(0)
        super().step()


def training():
    return Faulty()
