"""Real images are in [0, 255]."""

from faults.training import Training

FINDINGS = ["range of reals"]
OBJECT = "[-1, 1]"


class Faulty(Training):
    def reals(self):
        return (super().reals() + 1) * 127.5


def training():
    return Faulty()
