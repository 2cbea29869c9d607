"""The loader starts again in every iteration, so that D sees one batch of reals."""

from faults.training import Training

FINDINGS = ["reals repeat"]
OBJECT = "real"


class Faulty(Training):
    def reals(self):
        if not hasattr(self, "kept"):
            self.kept = super().reals()
        return self.kept


def training():
    return Faulty()
