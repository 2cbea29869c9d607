"""β and 1 - β of w_avg are exchanged."""

from faults.training import Training

FINDINGS = ["w_avg follows one batch"]
OBJECT = "exchanged"


class Faulty(Training):
    def track(self, w):
        self.generator.w_avg.copy_(self.generator.w_avg.lerp(w.detach().mean(0), 0.98))


def training():
    return Faulty()
