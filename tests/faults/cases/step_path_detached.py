"""Path length on ws without the mapping network."""

from faults.training import Training

FINDINGS = ["path length stops at ws"]
OBJECT = "mapping"


class Faulty(Training):
    def path_length(self, ws):
        return super().path_length(ws.detach().requires_grad_())


def training():
    return Faulty()
