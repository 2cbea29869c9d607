"""The mapping network f, which maps latents, labels or both to the intermediate latent space W."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import EqualizedLinear
from .scalings import Scalings


class MappingNetwork(nn.Module):
    """The mapping network from a latent z and a label c to w (SG1 §2, SG2 app. B).

    It embeds the label, normalizes the latent and the embedded label, concatenates them, and applies fully
    connected layers. A call in training mode updates `w_avg`, the running mean of w for truncation (SG1
    app. B).

    Args:
        z_dim: Width of z. 0 maps labels alone.
        w_dim: Width of w.
        num_ws: Number of rows to repeat w to. None returns w itself.
        num_classes: Width of c. 0 takes no labels.
        layers: Number of fully connected layers.
        embed_features: Width of the embedded label. None is w_dim.
        layer_features: Width of the hidden layers. None is w_dim.
        activation: Activation of every fully connected layer.
        w_avg_beta: Decay of the running mean per call. None keeps no running mean.
        scalings: Latent normalization, learning-rate multiplier and gains.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        num_ws: int | None,
        *,
        num_classes: int = 0,
        layers: int = 8,
        embed_features: int | None = None,
        layer_features: int | None = None,
        activation: str = "lrelu",
        w_avg_beta: float | None = 0.995,
        scalings: Scalings,
    ):
        super().__init__()
        self.z_dim, self.num_ws, self.num_classes, self.layers = z_dim, num_ws, num_classes, layers
        self.w_avg_beta, self.normalize = w_avg_beta, scalings.normalize_latent
        embed_features = (embed_features or w_dim) if num_classes else 0
        if num_classes:
            self.embed = EqualizedLinear(num_classes, embed_features, scalings=scalings)
        widths = [z_dim + embed_features, *[layer_features or w_dim] * (layers - 1), w_dim]
        for i, (before, after) in enumerate(zip(widths[:-1], widths[1:])):
            layer = EqualizedLinear(
                before,
                after,
                scalings=scalings,
                activation=activation,
                lr_multiplier=scalings.mapping_lr_multiplier,
            )
            self.add_module(f"fc{i}", layer)
        if w_avg_beta is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
        update_w_avg: bool = True,
        w_mean: Tensor | None = None,
    ) -> Tensor:
        """Map latents and labels to w.

        Args:
            z: (N, z_dim), normally drawn from N(0, 1). None if the network takes labels alone.
            c: (N, num_classes), normally one-hot. None if the network takes no labels.
            psi: Truncation, w_mean + psi · (w - w_mean). 1 does not truncate, and 0 gives w_mean.
            cutoff: Number of rows to truncate, from the coarsest. None truncates all.
            update_w_avg: Whether to update the running mean of w in training mode.
            w_mean: What truncation goes towards, (w_dim,) or (N, w_dim). None: `w_avg`, as the papers define
                it. With labels, `w_mean(c)` keeps what makes an image one of its class.

        Returns:
            (N, num_ws, w_dim), or (N, w_dim) if num_ws is None.

        Raises:
            ValueError: z or c is missing or has the wrong width.
        """
        w = self._w(z, c)
        if update_w_avg and self.training and self.w_avg_beta is not None:
            self.w_avg.copy_(w.detach().mean(dim=0).lerp(self.w_avg, self.w_avg_beta))
        ws = w if self.num_ws is None else w.unsqueeze(1).repeat(1, self.num_ws, 1)
        if psi == 1:
            return ws
        center = self.w_avg if w_mean is None else w_mean
        if self.num_ws is None:
            return center.lerp(w, psi)
        truncated = center.unsqueeze(-2).lerp(ws[:, :cutoff], psi)
        return truncated if cutoff is None else torch.cat([truncated, ws[:, cutoff:]], dim=1)

    @torch.no_grad()
    def w_mean(self, c: Tensor, latents: int = 1024, seed: int = 0) -> Tensor:
        """The mean of w for each label: the mean of f(z_i, c) over the latents z_i of a seed.

        Truncation towards `w_avg`, the mean over all labels, makes images of every class more like those of
        the others. Towards this mean they become typical of their own class. The latents are the same for
        every label, and equal labels are computed once.

        Args:
            c: Labels, (N, num_classes).
            latents: Number of latents. The error of the mean is the deviation of w divided by its root.
            seed: Of the latents.

        Returns:
            (N, w_dim), for the argument `w_mean` of a network with the same c.
        """
        weight = next(self.parameters())
        random = torch.Generator().manual_seed(seed)
        z = torch.randn(latents, self.z_dim, generator=random).to(weight)
        rows = [tuple(row) for row in _checked("c", c, self.num_classes).tolist()]
        means = {row: self._w(z, weight.new_tensor(row).expand(latents, -1)).mean(0) for row in set(rows)}
        return torch.stack([means[row] for row in rows])

    def _w(self, z: Tensor | None, c: Tensor | None) -> Tensor:
        inputs = []
        if self.z_dim:
            inputs.append(self.normalize(_checked("z", z, self.z_dim)))
        if self.num_classes:
            dtype = self.embed.weight.dtype
            inputs.append(self.normalize(self.embed(_checked("c", c, self.num_classes).to(dtype))))
        w = torch.cat(inputs, dim=1)
        for i in range(self.layers):
            w = getattr(self, f"fc{i}")(w)
        return w


def _checked(name: str, value: Tensor | None, width: int) -> Tensor:
    if value is None or value.ndim != 2 or value.shape[1] != width:
        found = "nothing" if value is None else f"shape {tuple(value.shape)}"
        raise ValueError(f"expected {name} of shape (N, {width}), got {found}")
    return value
