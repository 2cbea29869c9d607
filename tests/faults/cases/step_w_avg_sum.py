"""w_avg follows the sum of w over the batch."""

from faults.training import Training

FINDINGS = ["w_avg is not the mean of w"]
OBJECT = "sum"


class Faulty(Training):
    def track(self, w):
        self.generator.w_avg.copy_(w.detach().sum(0).lerp(self.generator.w_avg, 0.9))


def training():
    return Faulty()
