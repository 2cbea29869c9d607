"""The image is a thousandth of its size."""

from faults.official import Generator, Parts

FINDINGS = ["image size"]
OBJECT = "rms of the images"


def generator():
    return Generator(Parts(image_of=lambda image: image / 1000))
