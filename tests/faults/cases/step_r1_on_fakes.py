"""R1 at generated images."""

from faults.training import Training

FINDINGS = ["R1 on generated images"]
OBJECT = "generated images"


class Faulty(Training):
    def r1(self, reals, fakes):
        return super().r1(fakes, reals)


def training():
    return Faulty()
