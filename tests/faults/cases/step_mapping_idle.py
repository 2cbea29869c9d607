"""w is detached, so the mapping network does not train."""

from faults.training import Training

FINDINGS = ["parameters without gradient"]
OBJECT = "mapping"


class Faulty(Training):
    def ws(self):
        return super().ws().detach().requires_grad_()


def training():
    return Faulty()
