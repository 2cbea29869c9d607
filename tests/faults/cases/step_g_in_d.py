"""D's optimizer holds G too."""

from faults.training import Training

FINDINGS = ["optimizer holds both networks"]
OBJECT = "both"


class Faulty(Training):
    def optimizers(self):
        opt_g, _ = super().optimizers()
        return opt_g, self.adam([*self.discriminator.parameters(), *self.generator.parameters()])


def training():
    return Faulty()
