"""Real images are in [0, 1]."""

from faults.training import Training

FINDINGS = ["range of reals"]
OBJECT = "factor of 2"


class Faulty(Training):
    def reals(self):
        return (super().reals() + 1) / 2


def training():
    return Faulty()
