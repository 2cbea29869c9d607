"""G's optimizer holds the parameters of the average."""

from faults.training import Training

FINDINGS = ["parameters in no optimizer", "optimizer holds the average"]
OBJECT = "generator"


class Faulty(Training):
    def optimizers(self):
        return self.adam(self.average.parameters()), self.adam(self.discriminator.parameters())


def training():
    return Faulty()
