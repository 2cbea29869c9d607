"""R1 comes every 4 iterations and is not multiplied by 4."""

from faults.training import Training

FINDINGS = ["R1 weight"]
OBJECT = "lazy"


class Faulty(Training):
    def r1(self, reals, fakes):
        return super().r1(reals, fakes) / self.r1_every


def training():
    return Faulty()
