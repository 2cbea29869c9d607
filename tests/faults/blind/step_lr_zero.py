"""A schedule leaves G's learning rate at 0."""

from faults.training import Training

FINDINGS = ["learning rate is zero", "optimizer never steps", "weights do not move"]
OBJECT = "G"


class Faulty(Training):
    def optimizers(self):
        opt_g, opt_d = super().optimizers()
        opt_g.param_groups[0]["lr"] = 0.0
        return opt_g, opt_d


def training():
    return Faulty()
