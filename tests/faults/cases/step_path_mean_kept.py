"""The running mean of the path length is never updated."""

from faults.training import Training

FINDINGS = ["path length mean not updated"]
OBJECT = "path_mean"


class Faulty(Training):
    def remember(self, mean):
        pass


def training():
    return Faulty()
