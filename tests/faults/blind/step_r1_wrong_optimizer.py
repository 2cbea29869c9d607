"""R1's gradients are handed to G's optimizer."""

from faults.training import Training

FINDINGS = [
    "R1 never reaches the weights",
    "R1 has no gradient",
    "gradients dropped",
    "gradients of the other loss",
]
OBJECT = "R1"


class Faulty(Training):
    def descend(self, optimizer, loss):
        if self.is_r1:
            optimizer, self.is_r1 = self.opt_g, False
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        self.opt_d.zero_grad()

    is_r1 = False

    def r1(self, reals, fakes):
        self.is_r1 = True
        return super().r1(reals, fakes)


def training():
    return Faulty()
