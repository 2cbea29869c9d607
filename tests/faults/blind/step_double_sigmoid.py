"""A sigmoid in front of the logistic loss."""

from faults.training import Training

FINDINGS = ["saturating loss", "bounded logits"]
OBJECT = "slope"


class Faulty(Training):
    def loss_g(self, fake):
        return super().loss_g(fake.sigmoid())

    def loss_d(self, real, fake):
        return super().loss_d(real.sigmoid(), fake.sigmoid())


def training():
    return Faulty()
