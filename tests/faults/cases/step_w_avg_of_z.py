"""w_avg follows latents that did not pass the mapping network."""

import torch
from faults.training import Training

FINDINGS = ["w_avg is not the mean of w"]
OBJECT = "w_avg"


class Faulty(Training):
    def track(self, w):
        self.generator.w_avg.copy_(torch.randn_like(w).mean(0).lerp(self.generator.w_avg, 0.9))


def training():
    return Faulty()
