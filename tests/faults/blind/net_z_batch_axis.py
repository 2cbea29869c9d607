"""z is normalized over the batch instead of over its numbers."""

from faults.official import Generator, Parts

FINDINGS = ["samples depend on each other"]
OBJECT = "other latents"


def generator():
    return Generator(Parts(normalize=lambda z: z * (z.square().mean(0, keepdim=True) + 1e-8).rsqrt()))
