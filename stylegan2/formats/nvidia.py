"""NVIDIA's pickles of PyTorch networks: stylegan2-ada-pytorch, and stylegan3 with `--cfg=stylegan2`.

A file is a pickled dictionary with the networks G, D and G_ema. Each network, and each module in it, is a call
that would execute source text in the file. The reader of pickles makes an inert record of it, which has the
module's attributes. Its tensors by name are an official state dictionary, and its attributes show what names and
shapes do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.ops import activations
from stylegan2.pickles.inert import Inert

from . import Format, Networks, formats
from .official import from_states

PERSISTED = "torch_utils.persistence._reconstruct_persistent_obj"
"""The function that a pickled network calls."""

NETWORKS = ("G_ema", "G", "D")

MOST_MODULES = 10_000
"""Most modules of a network. One of 1024×1024 pixels has about a hundred."""


def attributes(module: object) -> dict[str, Any]:
    """The attributes of a pickled module.

    Raises:
        ValueError: It is no module.
    """
    if isinstance(module, Inert):
        if module.name == PERSISTED and module.arguments and isinstance(module.arguments[0], dict):
            state = module.arguments[0].get("state")
        else:
            state = module.state
        if isinstance(state, dict):
            return state
    raise ValueError("expected a network, found something else")


def class_name(module: object) -> str:
    """The name of a pickled module's class, or an empty text."""
    if isinstance(module, Inert) and module.arguments and isinstance(module.arguments[0], dict):
        return str(module.arguments[0].get("class_name", ""))[:80]
    return ""


def walk(module: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the dotted name and the attributes of a pickled module and of all modules in it.

    Raises:
        ValueError: There are too many, or one contains itself.
    """
    pending, seen = [("", module, 0)], 0
    while pending:
        name, module, depth = pending.pop()
        seen += 1
        if seen > MOST_MODULES or depth > 10:
            raise ValueError("its modules are nested in a way that no network has")
        found = attributes(module)
        yield name, found
        for part, child in _dictionary(found.get("_modules")).items():
            if child is not None:
                pending.append((f"{name}.{part}" if name else str(part), child, depth + 1))


def state_dict(module: object) -> dict[str, Tensor]:
    """The parameters and buffers of a pickled network by name."""
    return {
        f"{name}.{part}" if name else str(part): tensor
        for name, found in walk(module)
        for kind in ("_parameters", "_buffers")
        for part, tensor in _dictionary(found.get(kind)).items()
        if isinstance(tensor, Tensor)
    }


def settings(module: object, remarks: list[str]) -> dict[str, Any]:
    """What the attributes of a network's modules say and its tensors do not, for `from_official`.

    Raises:
        ValueError: Two modules say different things where one network of ours has one setting.
    """
    modules = dict(walk(module))
    blocks = {
        int(name.rpartition("b")[2]): bool(found["use_fp16"])
        for name, found in modules.items()
        if name.rpartition("b")[2].isdigit() and "use_fp16" in found
    }
    low = [r for r in sorted(blocks) if blocks[r]]
    if low != sorted(blocks)[len(blocks) - len(low) :]:
        raise ValueError(f"its float16 blocks are {low}, expected those of the highest resolutions")
    values: dict[str, Any] = {"low_precision_blocks": len(low)}
    values["clamp"] = _one(modules, "conv_clamp", None, (int, float, type(None)))
    values["activation"] = _one(modules, "activation", "lrelu", (str,), {"linear"})
    if values["activation"] not in activations:
        raise ValueError("its activation is unknown")
    group = next((found["group_size"] for found in modules.values() if "group_size" in found), 4)
    if "b4.conv" in modules:  # a discriminator
        values["minibatch_group"] = group if isinstance(group, int) else None
    beta = modules.get("mapping", {}).get("w_avg_beta")
    if isinstance(beta, float):
        values["w_avg_beta"] = beta
    if isinstance(layers := modules.get("mapping", {}).get("num_layers"), int):
        values["mapping_layers"] = layers
    multiplier = modules.get("mapping.fc0", {}).get("bias_gain")
    if isinstance(multiplier, (int, float)):
        values["mapping_lr_multiplier"] = float(multiplier)
    elif "mapping" in modules:
        remarks.append(
            "The mapping network's learning-rate multiplier is not in the file. It is taken to be 0.01."
        )
    return values


def _one(
    modules: Mapping[str, dict[str, Any]],
    attribute: str,
    default: Any,
    types: tuple[type, ...],
    ignored: set[Any] = frozenset(),  # type: ignore[assignment]
) -> Any:
    """The value of an attribute that all modules share. Linear skips have no clamp and do not count."""
    values = {
        found[attribute]
        for name, found in modules.items()
        if isinstance(found.get(attribute, object), types)
        and found[attribute] not in ignored
        and not name.endswith(".skip")
    }
    if len(values) > 1:
        shown = ", ".join(sorted(str(value)[:20] for value in list(values)[:5]))
        raise ValueError(f"its modules have different values of {attribute}: {shown}")
    return values.pop() if values else default


def _dictionary(value: object) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def recognizes(contents: Mapping[Any, Any]) -> bool:
    return any(isinstance(contents.get(name), Inert) for name in NETWORKS)


def load(contents: Mapping[Any, Any]) -> Networks:
    """Build the networks of a pickle."""
    remarks: list[str] = []
    modules = {name: contents[name] for name in NETWORKS if isinstance(contents.get(name), Inert)}
    states = {name: state_dict(module) for name, module in modules.items()}
    for name, state in states.items():
        if any(part.startswith("synthesis.L") for part in state):
            raise InputError(
                f"Expected StyleGAN2's architecture, found that {name} is a generator of StyleGAN3 with another "
                "one. Give a file that was trained with --cfg=stylegan2."
            )
    found = {name: settings(module, remarks) for name, module in modules.items()}
    networks = from_states(states, found)
    networks.remarks += dict.fromkeys(remarks)
    networks.about |= {"source": class_name(modules.get("G_ema") or modules.get("G"))}
    data = contents.get("training_set_kwargs")
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        networks.about["data"] = {"path": data["path"][:500]}
    networks.remarks.append("The pickle does not say for how many images the networks were trained.")
    if any(t.element_size() < 4 and t.is_floating_point() for s in states.values() for t in s.values()):
        networks.remarks.append("Numbers of 16 bits in the file were widened to float32, which changes none.")
    return networks


formats.register("nvidia")(
    Format(
        about="a pickle of stylegan2-ada-pytorch or stylegan3 (--cfg=stylegan2)",
        recognizes=recognizes,
        load=load,
    )
)
