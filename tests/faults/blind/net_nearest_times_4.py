"""Up-sampling repeats pixels and keeps the factor of 4 that inserted zeros need."""

from faults import official
from faults.official import Generator, Parts, blur

FINDINGS = ["FIR gain", "image size"]
OBJECT = "4"


class Faulty(Generator):
    def synthesis(self, ws):
        before = official.upsample
        official.upsample = lambda x, gain: blur(
            x.repeat_interleave(2, 2).repeat_interleave(2, 3), gain, (2, 1)
        )
        try:
            return super().synthesis(ws)
        finally:
            official.upsample = before


def generator():
    return Faulty(Parts())
