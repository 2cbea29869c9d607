"""The optimizers are made anew in every iteration, so that Adam forgets its moments."""

from faults.training import Training

FINDINGS = ["optimizer never steps", "optimizer made anew"]
OBJECT = "G"


class Faulty(Training):
    def step(self):
        self.opt_g, self.opt_d = self.optimizers()
        super().step()


def training():
    return Faulty()
