"""Biases are in no optimizer."""

from faults.training import Training

FINDINGS = ["parameters in no optimizer"]
OBJECT = "bias"


class Faulty(Training):
    def optimizers(self):
        parts = [
            [p for n, p in net.named_parameters() if "bias" not in n]
            for net in (self.generator, self.discriminator)
        ]
        return tuple(map(self.adam, parts))


def training():
    return Faulty()
