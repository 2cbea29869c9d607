"""Styles are never mixed."""

from faults.training import Training

FINDINGS = ["no style mixing"]
OBJECT = "rows"


class Faulty(Training):
    def crossover(self, rows):
        return rows


def training():
    return Faulty()
