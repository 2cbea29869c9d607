"""Real and generated logits are exchanged in a hinge loss."""

from faults.training import Training

FINDINGS = ["real and fake exchanged"]
OBJECT = "exchanged"


class Faulty(Training):
    def loss_d(self, real, fake):
        return (1 + real).relu().mean() + (1 - fake).relu().mean()

    def loss_g(self, fake):
        return -fake.mean()


def training():
    return Faulty()
