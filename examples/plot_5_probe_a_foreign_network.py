r"""
Probe a foreign network
=======================

``stylegan2.probe`` works on any ``torch.nn.Module``. It runs a forward and a backward pass, and records for each
layer the size of the signal, of the gradient, and of a step of Adam relative to the weights.
"""

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

import stylegan2

# %%
# The example is a plain residual network without normalization.


class Block(nn.Module):
    """(x + two convolutions of x) · gain."""

    def __init__(self, channels: int, gain: float):
        super().__init__()
        self.gain = gain
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.conv1(torch.relu(self.conv0(torch.relu(x))))) * self.gain


def network(gain: float, initialize=None) -> nn.Sequential:
    torch.manual_seed(0)
    blocks = [Block(32, gain) for _ in range(12)]
    layers = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), *blocks, nn.Flatten(), nn.Linear(32 * 64, 1))
    for layer in layers.modules():
        if initialize and isinstance(layer, nn.Conv2d):
            initialize(layer.weight)
    return layers


inputs = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
found = stylegan2.probe(network(gain=1, initialize=nn.init.kaiming_normal_), inputs)
print(found)

# %%
# The branch of each block adds a signal of the same variance, so the variance of the sum doubles and the rms grows
# by √2 per block. StyleGAN2 multiplies the sum by √½.
networks = {
    "PyTorch's initialization": network(gain=1),
    "kaiming_normal_": network(gain=1, initialize=nn.init.kaiming_normal_),
    "kaiming_normal_ and √½ after each sum": network(gain=0.5**0.5, initialize=nn.init.kaiming_normal_),
}
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2))
for name, layers in networks.items():
    blocks = [row for row in stylegan2.probe(layers, inputs).rows if row.kind == "Block"]
    axes[0].semilogy([row.rms for row in blocks], marker=".", label=name)
    axes[1].semilogy([row.gradient for row in blocks], marker=".")
axes[0].set(title="signal", xlabel="block", ylabel="rms", ylim=(0.3, 300))
axes[1].set(title="gradient of the loss", xlabel="block")
axes[0].legend(fontsize="small")
figure.tight_layout()
