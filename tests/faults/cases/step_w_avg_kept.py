"""w_avg is not tracked."""

from faults.training import Training

FINDINGS = ["w_avg not tracked"]
OBJECT = "w_avg"


class Faulty(Training):
    def track(self, w):
        pass


def training():
    return Faulty()
