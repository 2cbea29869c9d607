"""The running average is never updated."""

from faults.training import Training

FINDINGS = ["average not updated"]
OBJECT = "average"


class Faulty(Training):
    def average_step(self):
        pass


def training():
    return Faulty()
