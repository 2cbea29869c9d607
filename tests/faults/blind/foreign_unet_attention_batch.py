"""Self-attention has its softmax over the batch."""

from faults.foreign import UNet

FINDINGS = ["samples depend on each other"]
OBJECT = "other latents"


def generator():
    return UNet(softmax_axis=0)
