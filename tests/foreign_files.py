"""Files as other programs write them, with classes of our own that pickle as theirs do."""

import io
import pickle
import sys
import types
from contextlib import contextmanager

import numpy as np
import torch


def _placed(module: str, name: str, value: object) -> None:
    """Put a class or function into a module of this name, for the time that a pickle is written."""
    parts = module.split(".")
    for k in range(1, len(parts) + 1):
        path = ".".join(parts[:k])
        sys.modules.setdefault(path, types.ModuleType(path))
        if k > 1:
            setattr(sys.modules[".".join(parts[: k - 1])], parts[k - 1], sys.modules[path])
    setattr(sys.modules[module], name, value)


@contextmanager
def modules_of(*places):
    """Modules that hold these (module, name, value) while the block runs, and are gone after it."""
    before = set(sys.modules)
    for place in places:
        _placed(*place)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]


class EasyDict(dict):
    """A dictionary with attributes, which both of NVIDIA's programs pickle."""


EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"


def reconstruct(meta):
    raise AssertionError("code of the file was executed")


reconstruct.__module__ = "torch_utils.persistence"
reconstruct.__name__ = reconstruct.__qualname__ = "_reconstruct_persistent_obj"


class Module:
    """A module of PyTorch that is pickled with its source text."""

    def __init__(self, class_name, **attributes):
        self.state = {
            "_init_args": (),
            "_init_kwargs": EasyDict(),
            "training": False,
            "_parameters": {},
            "_buffers": {},
            "_backward_hooks": {},
            "_modules": {},
            **attributes,
        }
        self.class_name = class_name

    def __reduce__(self):
        source = "raise AssertionError('the source text of a module was executed')\n"
        meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": self.class_name,
            "state": self.state,
        }
        return reconstruct, (meta,)

    def at(self, path):
        """The module of a dotted path below this one, made if it is missing."""
        module = self
        for part in path:
            module = module.state["_modules"].setdefault(part, Module("Part"))
        return module


def nvidia_network(weights, is_generator, fp16=0, clamp=None, group=4, channels_last=False, dtype=None):
    """A network of stylegan2-ada-pytorch with these weights under their official names."""
    network = Module("Generator" if is_generator else "Discriminator")
    for name, tensor in weights.items():
        *path, last = name.split(".")
        if channels_last and tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        if dtype is not None and tensor.ndim:
            tensor = tensor.to(dtype)
        state = network.at(path).state
        is_buffer = last in ("resample_filter", "noise_const", "w_avg")
        state["_buffers" if is_buffer else "_parameters"][last] = (
            tensor if is_buffer else torch.nn.Parameter(tensor)
        )
        if path and path[-1].startswith(("conv", "torgb", "fromrgb", "skip")):
            state["conv_clamp"] = None if path[-1] == "skip" else clamp
        if path and path[-1].startswith(("conv", "fc")) and "affine" not in path:
            state["activation"] = "lrelu"
        if path and path[-1] == "skip":
            state["activation"] = "linear"
        if path and path[0] == "mapping" and path[-1].startswith("fc"):
            state["bias_gain"] = 0.01
    blocks = network.at(["synthesis"]).state if is_generator else network.state
    resolutions = sorted(int(name[1:]) for name in blocks["_modules"] if name[1:].isdigit())
    for k, r in enumerate(resolutions):
        module = blocks["_modules"][f"b{r}"]
        if is_generator or r > 4:
            module.state["use_fp16"] = k >= len(resolutions) - fp16
        elif not is_generator and group != "no":
            module.at(["mbstd"]).state |= {"group_size": group, "num_channels": 1}
    if any(name.startswith("mapping") for name in weights):
        layers = sum(name.startswith("mapping.fc") and name.endswith("weight") for name in weights)
        network.at(["mapping"]).state |= {"w_avg_beta": 0.995 if is_generator else None, "num_layers": layers}
    return network


def nvidia_pickle(protocol=pickle.HIGHEST_PROTOCOL, **networks):
    """The bytes of a network-snapshot.pkl."""
    contents = {
        **networks,
        "augment_pipe": Module("AugmentPipe", _buffers={"p": torch.tensor(0.25)}),
        "training_set_kwargs": EasyDict(
            class_name="training.dataset.ImageFolderDataset", path="data/cats.zip"
        ),
    }
    places = [
        ("dnnlib.util", "EasyDict", EasyDict),
        ("torch_utils.persistence", "_reconstruct_persistent_obj", reconstruct),
    ]
    with modules_of(*places):
        return pickle.dumps(contents, protocol=protocol)


class Namespace:
    """What argparse gives, under its own name."""


def saved(contents, **options):
    buffer = io.BytesIO()
    torch.save(contents, buffer, **options)
    return buffer.getvalue()


class TFNetwork:
    """A network of StyleGAN2's TensorFlow program."""

    def __init__(self, name, variables, static=None, components=None):
        self.state = {
            "version": 4,
            "name": name,
            "static_kwargs": EasyDict(static or {}),
            "components": EasyDict(components or {}),
            "build_module_src": "raise AssertionError('the source text of a network was executed')\n",
            "build_func_name": f"{name}_stylegan2",
            "variables": variables,
        }

    def __getstate__(self):
        return self.state


TFNetwork.__module__, TFNetwork.__qualname__, TFNetwork.__name__ = (
    "dnnlib.tflib.network",
    "Network",
    "Network",
)


def tf_pickle(*networks, protocol=4):
    places = [("dnnlib.util", "EasyDict", EasyDict), ("dnnlib.tflib.network", "Network", TFNetwork)]
    with modules_of(*places):
        return pickle.dumps(networks, protocol=protocol)


def tf_generator(weights, name="Gs", **static):
    """A generator of the TensorFlow program with these weights under their official names."""
    synthesis, mapping, own = [], [], [("lod", np.float32(0).reshape(()))]
    for key, tensor in weights.items():
        value = tensor.numpy().astype(np.float32, order="C")
        if "resample_filter" in key:
            continue
        part, *path, last = key.split(".")
        if key == "mapping.w_avg":
            own.append(("dlatent_avg", value))
        elif part == "mapping":
            layer = "LabelEmbed" if path[0] == "embed" else f"Dense{path[0][2:]}"
            mapping.append((f"{layer}/{last}", value.T if value.ndim == 2 else value))
        elif last == "const":
            synthesis.append(("4x4/Const/const", value[None]))
        elif last == "noise_const":
            r, is_second = int(path[0][1:]), path[1] == "conv1"
            index = 2 * int(np.log2(r / 4)) - 1 + is_second if r > 4 else 0
            synthesis.append((f"noise{index}", value[None, None]))
        else:
            r = path[0][1:]
            layer = {"conv0": "Conv0_up", "conv1": "Conv1", "torgb": "ToRGB", "skip": "Skip"}[path[1]]
            layer = "Conv" if r == "4" and layer == "Conv1" else layer
            if path[-1] == "affine":
                last, value = f"mod_{last}", value.T if last == "weight" else value - np.float32(1)
            elif last == "weight":
                value = value.transpose(2, 3, 1, 0)
                value = value[::-1, ::-1] if layer in ("Conv0_up", "Skip") else value
            synthesis.append((f"{r}x{r}/{layer}/{last}", np.array(value, order="C")))
    parts = {"synthesis": TFNetwork("G_synthesis", synthesis), "mapping": TFNetwork("G_mapping", mapping)}
    return TFNetwork(name, own, static, parts)


def tf_discriminator(weights, **static):
    """A discriminator of the TensorFlow program with these weights under their official names."""
    names = {"fromrgb": "FromRGB", "conv0": "Conv0", "conv1": "Conv1_down", "skip": "Skip", "conv": "Conv"}
    names |= {"fc": "Dense0"}
    variables = []
    for key, tensor in weights.items():
        value = tensor.numpy().astype(np.float32, order="C")
        if "resample_filter" in key:
            continue
        block, layer, last = key.split(".")
        if last == "weight":
            value = np.ascontiguousarray(value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T)
        if block == "mapping":
            place = "LabelEmbed" if layer == "embed" else f"Mapping{layer[2:]}"
        else:
            place = "Output" if layer == "out" else f"{block[1:]}x{block[1:]}/{names[layer]}"
        variables.append((f"{place}/{last}", value))
    return TFNetwork("D", variables, static)
