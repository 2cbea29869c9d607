"""Every sample gets the mean w of the batch."""

from faults.official import Generator, Parts

FINDINGS = ["latent ignored", "samples depend on each other"]
OBJECT = "G"


def generator():
    return Generator(Parts(w_of=lambda w: w.mean(0, keepdim=True).expand_as(w)))
