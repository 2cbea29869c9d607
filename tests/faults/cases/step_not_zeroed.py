"""G's gradients are never zeroed."""

from faults.training import Training

FINDINGS = ["gradients not zeroed"]
OBJECT = "optimizer of G"


class Faulty(Training):
    def descend(self, optimizer, loss):
        if optimizer is self.opt_d:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def training():
    return Faulty()
