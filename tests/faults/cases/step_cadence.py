"""R1 fires at irregular iterations."""

from faults.training import Training

FINDINGS = ["cadence"]
OBJECT = "R1"


class Faulty(Training):
    def step(self):
        self.r1_every = 3 if self.iteration % 2 else 5
        super().step()


def training():
    return Faulty()
