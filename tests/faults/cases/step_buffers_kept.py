"""Buffers of the average are not copied."""

from faults.training import Training

FINDINGS = ["buffers of the average"]
OBJECT = "w_avg"


class Faulty(Training):
    def copy_buffers(self):
        pass


def training():
    return Faulty()
