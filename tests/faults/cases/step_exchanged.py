"""Real and generated logits are exchanged."""

from faults.training import Training

FINDINGS = ["real and fake exchanged"]
OBJECT = "exchanged"


class Faulty(Training):
    def loss_d(self, real, fake):
        return super().loss_d(fake, real)


def training():
    return Faulty()
