"""Adam's β₁ is 0.9."""

from faults.training import Training

FINDINGS = ["Adam's beta"]
OBJECT = "0.9"


class Faulty(Training):
    def adam(self, parameters, **options):
        return super().adam(parameters, betas=(0.9, 0.999))


def training():
    return Faulty()
