r"""
Truncation and style mixing
===========================

Both change ``ws``, which the mapping network passes to the synthesis network. It has one row of w per layer.
"""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from stylegan2 import load_generator
from stylegan2.images import grid

if not Path("drawings.pt").exists():
    runpy.run_path("plot_1_train.py")  # trains the generator, for less than a minute
generator, _ = load_generator("drawings.pt")
z = torch.randn(8, generator.z_dim, generator=torch.Generator().manual_seed(3))

# %%
# Truncation moves every w towards its running mean: :math:`w' = \bar w + \psi\,(w - \bar w)`. With ψ = 0 all
# images are the mean image. With ψ = 1 nothing changes. With ψ above 1 rare features are exaggerated.
psis = (0, 0.35, 0.7, 1, 1.4)
with torch.no_grad():
    rows = [generator(z, psi=psi, noise="const") for psi in psis]
figure, axis = plt.subplots(figsize=(6, 4))
axis.imshow(grid(torch.cat(rows), columns=len(z)))
axis.set(title="truncation", ylabel="ψ", xticks=[])
axis.set_yticks([32 * i + 16 for i in range(len(psis))], psis)
figure.tight_layout()

# %%
# ``cutoff`` truncates only the first, coarse rows, here those of 4×4 and 8×8. Shapes become more typical, and
# details stay.
with torch.no_grad():
    rows = [generator(z, psi=0.3, cutoff=cutoff, noise="const") for cutoff in (0, 3, None)]
figure, axis = plt.subplots(figsize=(6, 2.6))
axis.imshow(grid(torch.cat(rows), columns=len(z)))
axis.set(title="ψ = 0.3 on some rows", xticks=[])
axis.set_yticks([16, 48, 80], ["none", "first 3", "all"])
figure.tight_layout()

# %%
# Style mixing takes the first rows of ``ws`` from one latent (left column) and the others from another (top
# row). Coarse rows determine shape and pose, and fine rows determine color.
ws = generator.mapping(z)
crossover = 4  # rows from the first latent, out of generator.num_ws
with torch.no_grad():
    mixed = [torch.cat([w[:crossover].expand(8, -1, -1), ws[:, crossover:]], dim=1) for w in ws[:5]]
    images = torch.cat([generator.synthesis(row, noise="const") for row in mixed])
    sources = generator.synthesis(ws, noise="const")
sheet = torch.ones(6, 9, *images.shape[1:])
sheet[0, 1:], sheet[1:, 0], sheet[1:, 1:] = sources, sources[:5], images.unflatten(0, (5, 8))
figure, axis = plt.subplots(figsize=(6, 4.2))
axis.imshow(grid(sheet.flatten(0, 1), columns=9))
axis.set(title=f"first {crossover} rows from the left, the others from above", xticks=[], yticks=[])
figure.tight_layout()
