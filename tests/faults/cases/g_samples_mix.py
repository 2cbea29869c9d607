"""The mean of w over the batch is subtracted."""

from faults.official import Generator, Parts

FINDINGS = ["samples depend on each other"]
OBJECT = "other latents"


def generator():
    return Generator(Parts(w_of=lambda w: w - w.mean(0)))
