"""The average is a copy of the weights."""

from faults.training import Training

FINDINGS = ["average equals weights"]
OBJECT = "average"


class Faulty(Training):
    def average_step(self):
        for a, p in zip(self.average.parameters(), self.generator.parameters()):
            a.copy_(p)


def training():
    return Faulty()
