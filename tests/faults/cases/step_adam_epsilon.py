"""Adam's ε is 1e-3."""

from faults.training import Training

FINDINGS = ["Adam's epsilon"]
OBJECT = "0.001"


class Faulty(Training):
    def adam(self, parameters, **options):
        return super().adam(parameters, eps=1e-3)


def training():
    return Faulty()
