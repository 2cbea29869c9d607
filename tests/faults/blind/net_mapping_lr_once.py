"""The mapping network multiplies by its learning rate of 0.01, but its weights are not divided by it."""

from faults.official import Generator

FINDINGS = ["layer gain", "latent ignored", "latent weak"]
OBJECT = "mapping"


def generator():
    g = Generator()
    for layer in g.mapping.layers:
        layer.weight.data *= 0.01
    return g
