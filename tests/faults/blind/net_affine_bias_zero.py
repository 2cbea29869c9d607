"""The styles' biases start at 0 instead of 1."""

from faults.official import Generator, Modulated

FINDINGS = ["style bias", "styles start at zero"]
OBJECT = "affine"


def generator():
    g = Generator()
    for module in g.modules():
        if isinstance(module, Modulated):
            module.affine.bias.data.zero_()
    return g
