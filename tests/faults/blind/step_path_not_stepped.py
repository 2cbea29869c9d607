"""G's optimizer does not step after the path length, and its gradients are zeroed."""

from faults.training import Training

FINDINGS = ["path length never reaches the weights", "path length has no gradient", "gradients dropped"]
OBJECT = "ath length"


class Faulty(Training):
    def path_length(self, ws):
        super().path_length(ws).backward(retain_graph=True)
        return 0 * ws.sum()


def training():
    return Faulty()
