"""The crossover is in the first two rows alone."""

from faults.training import Training

FINDINGS = ["range of style mixing"]
OBJECT = "row"


class Faulty(Training):
    def crossover(self, rows):
        return super().crossover(3) if self.chance() < 0.9 else rows


def training():
    return Faulty()
