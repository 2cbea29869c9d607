"""The image is the root of a negative number."""

from faults.official import Generator, Parts

FINDINGS = ["non-finite images"]
OBJECT = "rms of the images"


def generator():
    return Generator(Parts(image_of=lambda image: (image - 100).sqrt()))
