"""β and 1 - β are exchanged."""

from faults.training import Training

FINDINGS = ["average equals weights"]
OBJECT = "exchanged"


class Faulty(Training):
    beta = 0.02


def training():
    return Faulty()
