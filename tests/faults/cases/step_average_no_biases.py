"""Biases are left out of the average."""

from faults.training import Training

FINDINGS = ["average incomplete"]
OBJECT = "bias"


class Faulty(Training):
    def average_step(self):
        theirs = dict(self.generator.named_parameters())
        for name, a in self.average.named_parameters():
            if "bias" not in name:
                a.copy_(theirs[name].lerp(a, self.beta))


def training():
    return Faulty()
