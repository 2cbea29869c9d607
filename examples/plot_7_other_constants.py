r"""
Other possible constants
========================

What else the constants of StyleGAN2 could have been, and what the alternatives do to the signal. Each alternative is
a setting of the package (``configs/alternatives/``). The numbers are of untrained networks, and take seconds.

``python examples/plot_7_other_constants.py RUN/checkpoints/last.ckpt`` measures the branches of a trained
discriminator too.
"""

import math
import sys
from functools import partial

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.data import ImageData, to_float
from stylegan2.formats import load
from stylegan2.networks.layers import EqualizedLinear
from stylegan2.probing.measure.residual import residual_blocks
from stylegan2.training.regularizers.path_length import PathLength

torch.manual_seed(0)

# %%
# **A residual sum.** A block of two layers computes y = skip · S(x) + branch · α · f₁(hidden · f₀(x)). The kinds of
# ``Scalings.residual_gain``, and ``residual_balance``, choose the factors for L blocks. In the discriminator, S is a
# linear layer, and f₀ and f₁ end in a leaky ReLU.
KINDS = {
    "1 on both (none)": Scalings(residual_gain=1.0),
    "1/√2 on both (StyleGAN2)": Scalings(),
    "1/√L on the branch": Scalings(residual_gain="inverse_depth"),
    "magnitude-preserving, t = 0.3": Scalings(residual_balance=0.3),
    "magnitude-preserving, t = 0.5": Scalings(residual_balance=0.5),
    "Fixup: last weights start at 0": Scalings(residual_gain="fixup"),
    "SkipInit: α starts at 0": Scalings(residual_gain="skip_init"),
}
WIDTH, REPEATS = 128, 4


def layer(scalings: Scalings, activation: str) -> EqualizedLinear:
    return EqualizedLinear(WIDTH, WIDTH, scalings=scalings, bias=False, activation=activation)


def stack(scalings: Scalings, blocks: int, identity: bool, last: str) -> tuple[float, float, float]:
    """rms of the output of so many random blocks for inputs of rms 1, and the shares of the first and last block.

    The output is a sum of one term for each block, and the share is ⟨term, output⟩/⟨output, output⟩. The skip
    branch S is a linear layer or the identity, and f₁ ends in the activation ``last``.
    """
    r, x = scalings.residual(blocks), torch.randn(128, WIDTH)
    first = term = torch.zeros_like(x)
    for i in range(blocks):
        f0, f1 = layer(scalings, "lrelu"), layer(scalings, last)
        if r.start == "zero_weights":
            f1.weight.zero_()
        alpha = 0.0 if r.start == "zero_factor" else 1.0
        skip = nn.Identity() if identity else layer(scalings, "linear")
        term = r.branch * alpha * f1(r.hidden * f0(x))
        x = r.skip * skip(x) + term
        first = r.skip * skip(first) if i else term
    total = x.square().sum()
    shares = [((t * x).sum() / total).item() for t in (first, term)]
    return x.square().mean().sqrt().item(), shares[0], shares[1]


def print_stack(
    name: str, scalings: Scalings, blocks: int, identity: bool = False, last: str = "lrelu"
) -> None:
    """The geometric mean of the rms, and the mean shares, over a few stacks."""
    rows = [stack(scalings, blocks, identity, last) for _ in range(REPEATS)]
    rms = math.exp(sum(math.log(row[0]) for row in rows) / REPEATS)
    first, final = (sum(row[i] for row in rows) / REPEATS for i in (1, 2))
    print(f"  {name:31} rms {rms:7.2f}   share of the first {first:6.1%}, of the last {final:6.1%}")


with torch.no_grad():
    for blocks in (2, 4, 8, 12, 18):
        print(f"{blocks} blocks")
        for name, scalings in KINDS.items():
            print_stack(name, scalings, blocks)

# %%
# All but the first keep the signal within a factor of 2. It is √e = 1.65 for 1/√L, and a little more than 1 for the
# others, because two leaky ReLUs with a gain of √2 add 4 % to the square of a branch. The shares differ: with 1/√2
# each block has half of what remains, whatever the depth.
#
# Where the skip branch is the identity, it matters how the other branch ends. The outputs of leaky ReLUs are mostly
# positive, so those of all blocks are alike and add up. A branch that ends in a linear layer, as in EDM2 and R3GAN,
# does not have this problem.
with torch.no_grad():
    print("18 blocks with an identity as the skip branch, 1/√2 on both")
    print_stack("branches end in a leaky ReLU", Scalings(), 18, identity=True)
    print_stack("branches end in a linear layer", Scalings(), 18, identity=True, last="linear")

# %%
# **Branches that are alike.** The factor 1/√2 is right for independent branches. With the correlation ρ the variance
# of the sum of two branches of variance 1 is 2(1 + ρ), so the factor would be 1/√(2(1 + ρ)). How large is ρ in a
# discriminator? ``residual_blocks`` measures it on real images.
data = ImageData("demo/smileys-emotion", resolution=32).open(progress=False)
reals = to_float(data[list(range(32))][0])


def print_branches(d: Discriminator, images: Tensor) -> None:
    for b in residual_blocks(d, images):
        rho = "    -" if b.correlation is None else f"{b.correlation:+.2f}"
        keeping = "   -" if b.keeping is None else f"{b.keeping:.2f}"
        print(
            f"  {b.name:5} skip {b.skip:5.2f}  branch {b.branch:5.2f}  ρ {rho}  sum {b.output:5.2f}  "
            f"factor that keeps the variance {keeping}  share of the output {b.share:6.1%}"
        )


for name in ("1/√2 on both (StyleGAN2)", "magnitude-preserving, t = 0.3", "1/√L on the branch"):
    torch.manual_seed(0)
    print(f"untrained, {name}")
    print_branches(Discriminator(32, KINDS[name], channel_base=1024, channel_max=64), reals)
for path in sys.argv[1:]:
    networks = load(path)
    if networks.discriminator is not None:
        print(path)
        size = networks.discriminator.image_size
        print_branches(networks.discriminator, F.interpolate(reals, size=size, mode="area"))

# %%
# **The path length.** y can be divided by √(H·W), by its own length, or by nothing. The lengths of one generator
# differ by √C between the first two, and by √(H·W) between the first and the last, on images of any shape. The
# penalty is a square, so the same weight means H·W times as much.
CHOICES = {"y/√(H·W)": True, "y/‖y‖": "unit_length", "y": False}
found: dict[str, list[float]] = {name: [] for name in CHOICES}
pixels = []
for size in ((16, 16), (32, 32), (48, 80), (64, 64), (96, 160), (128, 128)):
    torch.manual_seed(0)
    g = Generator(size, channel_base=2048, channel_max=64, z_dim=64, w_dim=64, mapping_layers=2)
    ws = g.mapping(torch.randn(4, 64)).detach().requires_grad_()
    y = torch.randn(4, 3, *size)
    pixels.append(math.prod(size))
    for name, choice in CHOICES.items():
        loss = PathLength(normalize_by_image_size=choice)
        lengths = loss.lengths(partial(g.synthesis, noise="const"), ws, lambda images, y=y: y)
        found[name].append(lengths.mean().item())
    values = {name: lengths[-1] for name, lengths in found.items()}
    divided, unit, plain = values.values()
    print(
        f"{size[0]:3} × {size[1]:3}: "
        + ", ".join(f"{name} {value:6.2f}" for name, value in values.items())
        + f"; ratios {divided / unit:.3f} (√C = {math.sqrt(3):.3f}) and {plain / divided:.1f} "
        f"(√(H·W) = {math.sqrt(pixels[-1]):.1f})"
    )

figure, axes = plt.subplots(figsize=(5, 3.2))
for name, values in found.items():
    axes.loglog(pixels, values, "o-", label=name)
axes.set(xlabel="pixels", ylabel="path length at the start")
axes.legend()
figure.tight_layout()
