r"""
Why these constants
===================

The numbers of the page "Why", computed. Each part takes a few lines and less than a second.
"""

import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from stylegan2 import Scalings

torch.manual_seed(0)

# %%
# **A layer of Gaussian weights multiplies the standard deviation by √fan_in**, because a sum of n independent terms
# of variance 1 has variance n.
for fan_in in (16, 256, 4096):
    y = torch.randn(1000, fan_in) @ torch.randn(fan_in, 100)
    print(f"fan_in {fan_in:4}: std {y.std():5.1f}, √fan_in {math.sqrt(fan_in):5.1f}")

# %%
# **The gain behind an activation** f is 1/√E f(x)² for x ~ N(0, 1). A million numbers give three digits.
x = torch.randn(1_000_000)
lrelu = lambda x: F.leaky_relu(x, 0.2)  # noqa: E731
for name, f in {
    "relu": F.relu,
    "lrelu 0.2": lrelu,
    "silu": F.silu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
}.items():
    print(f"{name:9} gain behind it: {f(x).square().mean().rsqrt():.3f}")

# %%
# PyTorch's gain of 5/3 for tanh is one in front of it, and the signal then settles at a size of its own. A ReLU has
# no such size: it multiplies every signal by the same factor.
size = torch.tensor(1.0)
for _ in range(50):
    size = torch.tanh(5 / 3 * size * x).square().mean().sqrt()
print(f"tanh(5/3 · x), repeated: rms {size:.3f}")

# %%
# **A sum of two branches** of variance 1 has variance 2(1 + ρ), where ρ is their correlation. Independent branches
# need 1/√2, and equal ones 1/2.
a, b = torch.randn(2, 1_000_000)
for rho in (0.0, 0.3, 1.0):
    c = rho * a + math.sqrt(1 - rho**2) * b
    print(f"ρ = {rho}: variance of the sum {(a + c).var():.2f}, 2(1 + ρ) = {2 * (1 + rho):.2f}")

# %%
# **The weight of the path length.** The paper's weight (appendix B) for an image of r × r pixels equals the code's
# weight of 2 with y/√(r·r) and a mean over the rows of ws.
for r in (32, 256, 1024):
    paper = math.log(2) / (r**2 * (math.log(r) - math.log(2)))
    code = 2 / (r**2 * (2 * math.log2(r) - 2))
    print(f"{r:4}²: paper {paper:.4e}, code {code:.4e}")

# %%
# The reason for the division: E‖Jᵀy‖² = ‖J‖² (Frobenius) for y ~ N(0, 1), which is a sum over all C·H·W numbers of
# the image. Dividing by H·W makes it a mean over pixels.
jacobian = torch.randn(3 * 8 * 8, 16)
y = torch.randn(20_000, 3 * 8 * 8)
print(f"E‖Jᵀy‖² {(y @ jacobian).square().sum(dim=1).mean():.0f}, ‖J‖² {jacobian.square().sum():.0f}")

# %%
# **A step of Adam** moves every stored weight by lr. The output of a layer moves by lr·fan_in·c, where c is the
# factor at run time: √fan_in with the equalized learning rate, and not at all with "mup".
changes: dict[str, list[float]] = {}
widths = (64, 256, 1024)
for kind in ("kaiming", "equalized", "mup"):
    for width in widths:
        std, gain = Scalings(weight_scaling=kind).weight(width)
        weight = nn.Parameter(torch.randn(width, width) * std)
        inputs = torch.randn(1, width)
        adam = torch.optim.Adam([weight], lr=1e-4)
        before = inputs @ weight.t() * gain
        before.sum().backward()
        adam.step()
        change = (inputs @ weight.t() * gain - before).square().mean().sqrt().item()
        changes.setdefault(kind, []).append(change)
    slope = math.log(changes[kind][-1] / changes[kind][0]) / math.log(widths[-1] / widths[0])
    print(f"{kind:9} change of the output ∝ fan_in^{slope:.2f}")

figure, axes = plt.subplots(figsize=(5, 3.2))
for kind, values in changes.items():
    axes.loglog(widths, values, "o-", label=kind)
axes.set(xlabel="fan_in", ylabel="rms change by a step of Adam")
axes.legend()
figure.tight_layout()

# %%
# **Batch norm makes a bias in front of it idle, and couples the samples.**
layer, norm = nn.Linear(8, 4), nn.BatchNorm1d(4)
x = torch.randn(16, 8)
with torch.no_grad():
    before = norm(layer(x))
    layer.bias += 5
    print(f"bias + 5 changes the output by {(norm(layer(x)) - before).abs().max():.1e}")
    x[1:] *= 3
    print(f"other samples · 3 change the first output by {(norm(layer(x)) - before)[0].abs().max():.2f}")

# %%
# **Inputs on different scales.** The gradient of a first layer's weight is in proportion to its input, so an input in
# millions has all of the gradient. Standardized inputs share it.
data = torch.randn(512, 3) * torch.tensor([1.0, 1000.0, 1e6])
for name, inputs in {"as they are": data, "standardized": (data - data.mean(0)) / data.std(0)}.items():
    layer = nn.Linear(3, 1)
    layer(inputs).square().mean().sqrt().backward()
    print(f"{name:12} gradient per input {[f'{g:.1e}' for g in layer.weight.grad[0].abs().tolist()]}")
