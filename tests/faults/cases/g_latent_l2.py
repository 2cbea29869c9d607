"""The latent is divided by its length, so that its rms is 1/√64."""

from faults.official import Generator, Parts

FINDINGS = ["latent weak", "latent ignored"]
OBJECT = "mapping.layers.0"


def generator():
    return Generator(Parts(normalize=lambda z: z / z.norm(dim=1, keepdim=True)))
