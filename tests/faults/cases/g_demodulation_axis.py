"""Kernels are normalized over outputs instead of inputs."""

from faults.official import Generator, Parts

FINDINGS = ["style scale leaks"]
OBJECT = "first.conv"


def generator():
    return Generator(
        Parts(demodulate=lambda w: w * (w.square().sum(dim=(1, 3, 4), keepdim=True) + 1e-8).rsqrt())
    )
