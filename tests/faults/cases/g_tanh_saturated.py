"""tanh with a gain of 20 is behind the image."""

import torch
from faults.official import Generator, Parts

FINDINGS = ["saturated images"]
OBJECT = "bound"


def generator():
    return Generator(Parts(image_of=lambda image: torch.tanh(20 * image)))
