"""DCGAN's last convolution starts with weights of std 1, so that tanh is at its bounds."""

from faults.foreign import DCGAN

FINDINGS = ["saturated images"]
OBJECT = "bound"


def generator():
    g = DCGAN()
    g.to_image.weight.data.normal_()
    return g
