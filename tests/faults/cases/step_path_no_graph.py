"""Path length without create_graph."""

import torch
from faults.training import Training

FINDINGS = ["path length has no gradient"]
OBJECT = "create_graph"


class Faulty(Training):
    def path_length(self, ws):
        image = self.synthesize(ws)
        (j,) = torch.autograd.grad((image * torch.randn_like(image)).sum() / 16, ws, retain_graph=True)
        return j.square().mean() + 0 * image.mean()


def training():
    return Faulty()
