"""Only the layers that make styles lack 1/√w_dim."""

from faults.official import Generator, Modulated

FINDINGS = ["layer gain", "style scale leaks"]
OBJECT = "affine"


def generator():
    g = Generator()
    for module in g.modules():
        if isinstance(module, Modulated):
            module.affine.gain = 1.0
    return g
