"""Path length comes every 4 iterations and is not multiplied by 4."""

from faults.training import Training

FINDINGS = ["path length weight"]
OBJECT = "lazy"


class Faulty(Training):
    def path_length(self, ws):
        return super().path_length(ws) / self.path_every


def training():
    return Faulty()
