"""D's optimizer never steps."""

from faults.training import Training

FINDINGS = ["optimizer never steps"]
OBJECT = "D"


class Faulty(Training):
    def descend(self, optimizer, loss):
        if optimizer is not self.opt_d:
            super().descend(optimizer, loss)


def training():
    return Faulty()
