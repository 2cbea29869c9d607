"""Checkpoints of rosinality/stylegan2-pytorch: those of training, and those converted from TensorFlow.

The networks are StyleGAN2's with the architectures skip (G) and resnet (D), without labels. The tensors are the
official ones under other names and with other dimensions of size 1. One formula differs: kernels are scaled by
1/√(9·in) before they are demodulated, so that the ε of demodulation weighs differently. Images therefore agree to
about 1e-7, while every tensor is kept bit by bit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.ops import setup_filter

from . import Format, Networks, formats
from .building import check_standard
from .official import from_official, tensors_of
from .tensors import Options, write_tensors

LATENTS = 4096
"""Number of latents whose mean w is the center of truncation, if a file has none. Their program uses as many."""

LAYER = [  # part of a modulated layer: theirs, ours
    ("conv.weight", "weight"),
    ("conv.modulation.weight", "affine.weight"),
    ("conv.modulation.bias", "affine.bias"),
]
SYNTHESIS = [*LAYER, ("noise.weight", "noise_strength"), ("activate.bias", "bias")]
TO_RGB = [*LAYER, ("bias", "bias")]
SQUEEZED = {"conv.weight": 5, "bias": 4, "input.input": 4}
"""Tensors with a first dimension of size 1 that ours lack, by the end of their name and number of dimensions."""


def generator_names(resolutions: list[int], mapping_layers: int) -> dict[str, str]:
    """Our name of each of their tensors of a generator, apart from filters and the mean of w."""
    names = {"input.input": "synthesis.b4.const"}
    for i in range(mapping_layers):
        names |= {f"style.{i + 1}.{part}": f"mapping.fc{i}.{part}" for part in ("weight", "bias")}
    for k, r in enumerate(resolutions):
        layers = [("conv1", "conv1")] if k == 0 else [(f"convs.{2 * k - 2 + i}", f"conv{i}") for i in (0, 1)]
        image = "to_rgb1" if k == 0 else f"to_rgbs.{k - 1}"
        for number, (theirs, ours) in enumerate(layers):
            names |= {f"{theirs}.{a}": f"synthesis.b{r}.{ours}.{b}" for a, b in SYNTHESIS}
            index = 0 if k == 0 else 2 * k - 1 + number
            names[f"noises.noise_{index}"] = f"synthesis.b{r}.{ours}.noise_const"
        names |= {f"{image}.{a}": f"synthesis.b{r}.torgb.{b}" for a, b in TO_RGB}
    return names


def discriminator_names(resolutions: list[int]) -> dict[str, str]:
    """Our name of each of their tensors of a discriminator, apart from filters."""
    first = f"b{resolutions[-1]}"
    names = {"convs.0.0.weight": f"{first}.fromrgb.weight", "convs.0.1.bias": f"{first}.fromrgb.bias"}
    for k, r in enumerate(reversed(resolutions[1:]), 1):
        names |= {
            f"convs.{k}.conv1.0.weight": f"b{r}.conv0.weight",
            f"convs.{k}.conv1.1.bias": f"b{r}.conv0.bias",
            f"convs.{k}.conv2.1.weight": f"b{r}.conv1.weight",
            f"convs.{k}.conv2.2.bias": f"b{r}.conv1.bias",
            f"convs.{k}.skip.1.weight": f"b{r}.skip.weight",
        }
    names |= {"final_conv.0.weight": "b4.conv.weight", "final_conv.1.bias": "b4.conv.bias"}
    for theirs, ours in (("final_linear.0", "b4.fc"), ("final_linear.1", "b4.out")):
        names |= {f"{theirs}.{part}": f"{ours}.{part}" for part in ("weight", "bias")}
    return names


def to_ours(theirs: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Their tensors under the official names.

    Raises:
        ValueError: One of them has no name here, or a shape that it cannot have.
    """
    filters = {name for name in theirs if name.endswith(".kernel")}
    if unknown := sorted(theirs.keys() - names.keys() - filters):
        raise ValueError(f"it has tensors of another network: {', '.join(map(str, unknown[:3]))}")
    state = {}
    for name, tensor in theirs.items():
        if name in filters:
            continue
        ours = names[name]
        if ours.endswith(("noise_const", "noise_strength")):
            tensor = tensor.reshape(tensor.shape[-2:] if ours.endswith("noise_const") else ())
        elif ours.endswith((".weight", ".bias", ".const")) and tensor.ndim == _squeezed(name):
            tensor = tensor.reshape(tensor.shape[1:] if not name.endswith("bias") else (-1,))
        state[ours] = tensor
    if filters:
        f = theirs[min(filters)].double()
        state["resample_filter"] = f / f.sum()
    return state


def _squeezed(name: str) -> int:
    return next((dims for end, dims in SQUEEZED.items() if name.endswith(end)), -1)


def to_theirs(network: Generator | Discriminator, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Our tensors under their names, with their filters, which have gain 4 for up-sampling."""
    ours, state = network.state_dict(), {}
    for theirs, name in names.items():
        tensor = ours[name]
        if isinstance(network, Generator):
            if theirs.endswith(("conv.weight", "input.input")):
                tensor = tensor[None]
            elif name.endswith("noise_strength"):
                tensor = tensor.reshape(1)
            elif name.endswith("noise_const"):
                tensor = tensor[None, None]
            elif name.endswith("torgb.bias"):
                tensor = tensor.reshape(1, -1, 1, 1)
        state[theirs] = tensor
    dtype = next(network.parameters()).dtype
    gain = 4.0 if isinstance(network, Generator) else 1.0
    f = setup_filter(network.config.taps, separable=False, gain=gain, dtype=dtype)
    for name in names:
        if match := re.fullmatch(r"(convs\.\d*[02468]\.conv\.)weight|(to_rgbs\.\d+\.)bias", name):
            state[f"{match[1]}blur.kernel" if match[1] else f"{match[2]}upsample.kernel"] = f
        elif match := re.fullmatch(r"(convs\.\d+\.)(conv2|skip)\.1\.weight", name):
            state[f"{match[1]}{match[2]}.0.kernel"] = f
    return state


def _is_generator(state: object) -> bool:
    return isinstance(state, Mapping) and "input.input" in state and "conv1.conv.modulation.weight" in state


def recognizes(contents: Mapping[Any, Any]) -> bool:
    return any(_is_generator(contents.get(name)) for name in ("g_ema", "g")) or _is_generator(contents)


def load(contents: Mapping[Any, Any]) -> Networks:
    """Build the networks of a checkpoint."""
    if _is_generator(contents):
        contents = {"g_ema": contents}
    remarks: list[str] = []
    average = contents.get("latent_avg")
    generators = [
        _generator(tensors_of(contents[name]), average) for name in ("g_ema", "g") if name in contents
    ]
    networks = Networks(generator=generators[0], remarks=remarks, about={})
    if "g_ema" not in contents:
        networks.about["samples_from"] = "generator"
    networks.raw_generator = generators[1] if len(generators) > 1 else None
    if isinstance(contents.get("d"), Mapping):
        networks.discriminator = _discriminator(tensors_of(contents["d"]))
    if not isinstance(average, Tensor):
        for generator in generators:
            generator.mapping.w_avg.copy_(mean_w(generator))
        remarks.append(
            f"The file has no mean of w for truncation. The mean over {LATENTS} fixed latents is used, as their "
            "program does."
        )
    if "noises.noise_0" not in contents["g_ema" if "g_ema" in contents else "g"]:
        remarks.append("The file has no stored noise. Its place is taken by zeros.")
    options = contents.get("args")
    if isinstance(options, Options) and isinstance(path := vars(options).get("path"), str):
        networks.about["data"] = {"path": path[:500]}
    remarks.append(
        "The learning-rate multiplier of the mapping network (0.01) and the groups of the minibatch stddev (4) are "
        "those of their program. The file does not hold them."
    )
    return networks


def _resolutions(count: int) -> list[int]:
    return [4 * 2**k for k in range(count)]


def _generator(theirs: Mapping[str, Tensor], average: object) -> Generator:
    images = sum(bool(re.fullmatch(r"to_rgbs\.\d+\.bias", str(name))) for name in theirs)
    layers = sum(bool(re.fullmatch(r"style\.\d+\.weight", str(name))) for name in theirs)
    state = to_ours(theirs, generator_names(_resolutions(1 + images), layers))
    width = state["mapping.fc0.weight"]
    state["mapping.w_avg"] = (
        average.reshape(-1) if isinstance(average, Tensor) else width.new_zeros(len(width))
    )
    for r in _resolutions(1 + images):
        for layer in ("conv0", "conv1") if r > 4 else ("conv1",):
            state.setdefault(f"synthesis.b{r}.{layer}.noise_const", width.new_zeros(r, r))
    network = from_official(state)
    assert isinstance(network, Generator)
    return network


def _discriminator(theirs: Mapping[str, Tensor]) -> Discriminator:
    blocks = sum(bool(re.fullmatch(r"convs\.\d+\.skip\.1\.weight", str(name))) for name in theirs)
    network = from_official(to_ours(theirs, discriminator_names(_resolutions(1 + blocks))), minibatch_group=4)
    assert isinstance(network, Discriminator)
    return network


@torch.no_grad()
def mean_w(generator: Generator) -> Tensor:
    """The mean of w over fixed latents, (w_dim,)."""
    weight = next(generator.parameters())
    random = torch.Generator().manual_seed(0)
    z = torch.randn(LATENTS, generator.z_dim, generator=random, dtype=torch.float64).to(weight)
    return torch.cat([generator.eval().mapping(part)[:, 0] for part in torch.split(z, 256)]).mean(dim=0)


def _check(networks: Networks) -> None:
    """Raise `InputError` for what their program cannot represent."""
    g, d = networks.generator, networks.discriminator
    problems = {
        "labels": g.num_classes > 0,
        "the architecture skip in G": g.config.architecture != "skip",
        "equal widths of z and w": g.z_dim != g.w_dim,
        "RGB images": g.img_channels != 3,
        "a resolution of 8 or more": g.resolution < 8,
        "noise": not g.scalings.noise,
        "a learning-rate multiplier of 0.01": g.scalings.mapping_lr_multiplier != 0.01,
        "leaky ReLUs": g.config.activation != "lrelu",
        "no bound on activations": isinstance(g.scalings.clamp, (int, float)),
    }
    if d is not None:
        problems |= {
            "the architecture resnet in D": d.config.architecture != "resnet",
            "a minibatch stddev of one channel over groups of 4": not d.scalings.minibatch_stddev
            or (d.config.minibatch_group, d.config.minibatch_channels) != (4, 1),
            "no normalization in D": d.config.normalization != "none",
            "leaky ReLUs in D": d.config.activation != "lrelu",
            "no bound on activations in D": isinstance(d.scalings.clamp, (int, float)),
        }
    for network in (g, d):
        if network is not None:
            check_standard(network, "rosinality's program")
    if found := [what for what, differs in problems.items() if differs]:
        what = "no labels" if found[0] == "labels" else found[0]
        raise InputError(
            f"Expected {what}, as rosinality's program always has, found a network with something else. Write it "
            "as safetensors or with the official names."
        )


def write(networks: Networks, path: Path) -> list[str]:
    """Write a checkpoint that their program generates and goes on with, apart from the optimizers' state."""
    _check(networks)
    g = networks.generator
    names = generator_names(_resolutions(len(g.synthesis.resolutions)), g.config.mapping_layers)
    contents: dict[str, Any] = {
        "g_ema": to_theirs(g, names),
        "latent_avg": g.mapping.w_avg,
    }
    if networks.raw_generator is not None:
        contents["g"] = to_theirs(networks.raw_generator, names)
    if networks.discriminator is not None:
        blocks = _resolutions(1 + len(networks.discriminator.resolutions))
        contents["d"] = to_theirs(networks.discriminator, discriminator_names(blocks))
    write_tensors(contents, path)
    lost = ["Images agree to about 1e-7, because the ε of demodulation weighs differently there."]
    raw = networks.raw_generator
    if raw is not None and not torch.equal(raw.mapping.w_avg, g.mapping.w_avg):
        lost.append("Both generators share one mean of w there, which is that of the running average.")
    if g.config.low_precision_blocks:
        lost.append("Low-precision blocks compute in full precision there.")
    return lost


formats.register("rosinality")(
    Format(
        about="a checkpoint of rosinality/stylegan2-pytorch",
        suffix=".pt",
        recognizes=recognizes,
        load=load,
        write=write,
    )
)
