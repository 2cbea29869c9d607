"""Pickles of StyleGAN2's TensorFlow programs: a tuple of the networks G, D and Gs, the running average of G.

Each network is an inert record here. Its state has its variables by name, its own options, and the networks that it
consists of. Kernels are stored as (height, width, in, out), fully connected weights as (in, out), and kernels that
up-sample are flipped. Style biases are stored without their 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.pickles.inert import Array, Inert

from . import Format, Networks, formats
from .official import from_states

NETWORK = ("dnnlib.tflib.network.Network", "tfutil.Network")

LAYERS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}
"""Our name of each of their layers of a generator's block."""

CRITIC = {"FromRGB": "fromrgb", "Conv0": "conv0", "Conv1_down": "conv1", "Skip": "skip"}
"""The same of a discriminator's block, above 4×4."""

IGNORED = {"lod", "w_avg", "pl_mean_var", "pl_mean"}
"""Variables that a trained network does not need. The mean of w is `dlatent_avg`."""


def state_of(network: object) -> dict[str, Any]:
    """The state of a pickled network.

    Raises:
        ValueError: It is none.
    """
    if isinstance(network, Inert) and network.name in NETWORK and isinstance(network.state, dict):
        return network.state
    raise ValueError("expected a network of TensorFlow, found something else")


def variables(network: object) -> dict[str, np.ndarray[Any, Any]]:
    """The variables of a network and of those it consists of, by the last parts of their names.

    Raises:
        ValueError: The variables are no list of names and arrays.
    """
    found: dict[str, np.ndarray[Any, Any]] = {}
    pending = [(network, 0)]
    while pending:
        part, depth = pending.pop()
        content = state_of(part)
        if depth > 3 or len(found) > 10_000:
            raise ValueError("its networks are nested in a way that no network has")
        for entry in content.get("variables") or []:
            name, value = entry
            if isinstance(value, (int, float)):  # a variable without dimensions
                value = Array(np.array(value, np.float32))
            if type(name) is not str or not isinstance(value, Array) or value.value is None:
                raise ValueError("its variables are no names and arrays")
            found[name.removesuffix(":0")] = value.value
        components = content.get("components")
        parts = components.values() if isinstance(components, dict) else []
        pending += [(part, depth + 1) for part in parts]
    return found


def options_of(network: object) -> dict[str, Any]:
    """The options with which a network was built."""
    options = state_of(network).get("static_kwargs")
    return options if isinstance(options, dict) else {}


def _kernel(value: Tensor, flipped: bool) -> Tensor:
    """(height, width, in, out) to (out, in, height, width)."""
    value = value.flip(0, 1) if flipped else value
    return value.permute(3, 2, 0, 1)


def _layer(prefix: str, part: str, value: Tensor, flipped: bool) -> tuple[str, Tensor]:
    """Our name and tensor of a part of a layer."""
    if part == "weight":
        return f"{prefix}.weight", _kernel(value, flipped) if value.ndim == 4 else value.t()
    if part == "mod_weight":
        return f"{prefix}.affine.weight", value.t()
    if part == "mod_bias":
        return f"{prefix}.affine.bias", value + 1
    return f"{prefix}.{part}", value


def generator_state(network: object) -> dict[str, Tensor]:
    """The tensors of a pickled generator under the official names."""
    state: dict[str, Tensor] = {}
    for name, array in variables(network).items():
        value = torch.from_numpy(array.copy())
        if match := re.search(r"(?:^|/)(\d+)x\1/(\w+)/(\w+)$", name):
            r, layer, part = int(match[1]), match[2], match[3]
            if layer == "Const" and part == "const":
                state["synthesis.b4.const"] = value[0]
            elif layer in LAYERS and part in ("weight", "bias", "mod_weight", "mod_bias", "noise_strength"):
                ours, tensor = _layer(
                    f"synthesis.b{r}.{LAYERS[layer]}", part, value, flipped=layer in ("Conv0_up", "Skip")
                )
                state[ours] = tensor
            else:
                raise _another(name)
        elif match := re.search(r"(?:^|/)noise(\d+)$", name):
            k = int(match[1])
            layer = f"b{4 * 2 ** ((k + 1) // 2)}.conv{1 - k % 2}" if k < 40 else "no layer"
            state[f"synthesis.{layer}.noise_const"] = value[0, 0]
        elif match := re.search(r"(?:^|/)Dense(\d+)/(weight|bias)$", name):
            state[f"mapping.fc{match[1]}.{match[2]}"] = value.t() if value.ndim == 2 else value
        elif match := re.search(r"(?:^|/)LabelEmbed/(weight|bias)$", name):
            state[f"mapping.embed.{match[1]}"] = value.t() if value.ndim == 2 else value
        elif re.search(r"(?:^|/)dlatent_avg$", name):
            state["mapping.w_avg"] = value
        elif name.rpartition("/")[2] not in IGNORED:
            raise _another(name)
    return state


def discriminator_state(network: object) -> dict[str, Tensor]:
    """The tensors of a pickled discriminator under the official names."""
    state: dict[str, Tensor] = {}
    fixed = {"4x4/Conv": "b4.conv", "4x4/Dense0": "b4.fc", "Output": "b4.out", "LabelEmbed": "mapping.embed"}
    fixed |= {"4x4/FromRGB": "b4.fromrgb"}
    for name, array in variables(network).items():
        value = torch.from_numpy(array.copy())
        layer, _, part = name.rpartition("/")
        prefix = fixed.get(layer)
        if prefix is None and (match := re.fullmatch(r"Mapping(\d+)", layer)):
            prefix = f"mapping.fc{match[1]}"
        if prefix is None and (match := re.fullmatch(r"(\d+)x\1/(\w+)", layer)) and match[2] in CRITIC:
            prefix = f"b{match[1]}.{CRITIC[match[2]]}"
        if prefix is not None and part in ("weight", "bias"):
            ours, tensor = _layer(prefix, part, value, flipped=False)
            state[ours] = tensor
        elif part not in IGNORED:
            raise _another(name)
    if "b4.out.weight" in state and len(state["b4.out.weight"]) > 1 and "mapping.embed.weight" not in state:
        raise InputError(
            "Expected a discriminator with one logit, or with a mapping network for labels, found one logit for "
            "each class, as the first StyleGAN2 program has. This architecture has no place here."
        )
    return state


def _another(name: str) -> InputError:
    text = name[:80]
    if "LabelConcat" in name:
        return InputError(
            f"Expected labels that are embedded and normalized, found the variable {text}: the labels of the first "
            "StyleGAN2 program are concatenated with z, which this architecture does not do."
        )
    return InputError(
        f"Expected the variables of StyleGAN2, found {text!r}, which is one of another architecture, such as "
        "StyleGAN or PGGAN. Give a file of StyleGAN2."
    )


def settings(options: Mapping[str, Any], is_generator: bool, remarks: list[str]) -> dict[str, Any]:
    """What the options of a network say and its variables do not, for `from_official`."""
    values: dict[str, Any] = {}

    def take(name: str, ours: str, types: tuple[type, ...]) -> None:
        if isinstance(options.get(name), types):
            values[ours] = options[name]

    take("mapping_lrmul", "mapping_lr_multiplier", (float, int))
    take("num_fp16_res", "low_precision_blocks", (int,))
    take("conv_clamp", "clamp", (float, int))
    take("nonlinearity", "activation", (str,))
    kernel = options.get("resample_kernel")
    if isinstance(kernel, list) and kernel and all(isinstance(tap, (int, float)) for tap in kernel):
        values["taps"] = tuple(kernel[:64])
    if not is_generator:
        take("mbstd_group_size", "minibatch_group", (int,))
    remarks.append(
        "What the file's options do not name has the defaults of their program: a learning-rate multiplier of 0.01, "
        "no clamp, full precision, the filter 1, 3, 3, 1, and groups of 4 for the minibatch stddev."
    )
    return values


def recognizes(contents: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, Inert) and value.name in NETWORK for value in contents.values())


def load(contents: Mapping[Any, Any]) -> Networks:
    """Build the networks of a pickle of (G, D, Gs), or of a dictionary with such names."""
    named = {0: "G", 1: "D", 2: "G_ema", "G": "G", "D": "D", "Gs": "G_ema"}
    pickled = {named[key]: value for key, value in contents.items() if key in named}
    remarks: list[str] = []
    states = {
        name: discriminator_state(network) if name == "D" else generator_state(network)
        for name, network in pickled.items()
    }
    found = {name: settings(options_of(network), name != "D", remarks) for name, network in pickled.items()}
    networks = from_states(states, found)
    networks.remarks += [
        *dict.fromkeys(remarks),
        "Images agree to about 1e-7, because the ε of demodulation weighs differently there.",
        "The pickle does not say for how many images the networks were trained.",
    ]
    return networks


formats.register("tensorflow")(
    Format(
        about="a pickle of StyleGAN2's TensorFlow program",
        recognizes=recognizes,
        load=load,
    )
)
