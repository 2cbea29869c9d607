"""G's loss leaves gradients in D, which are not zeroed before D's step."""

from faults.training import Training

FINDINGS = ["gradients of the other loss"]
OBJECT = "other network"


class Faulty(Training):
    def freeze(self, network, frozen):
        pass

    def descend(self, optimizer, loss):
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def training():
    return Faulty()
