"""The generator as an ONNX model, which ONNX Runtime and others run without PyTorch.

Inputs are z, psi, with labels c, and the noise of every layer. The stored noise is the default of each noise, so
that a program may leave it out.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.errors import InputError
from stylegan2.files import replacing

from . import Format, Networks, formats
from .sampler import EXAMPLES, Sampler, lost

NEEDED = ("onnx", "onnxscript", "onnxruntime")


def require() -> None:
    """Check that the packages of the extra `onnx` are there.

    Raises:
        InputError: One is missing.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(
            f"Expected the packages of ONNX, found that {', '.join(missing)} is not installed. Install them: "
            'pip install "stylegan2[onnx]".'
        )


def write(networks: Networks, path: Path) -> list[str]:
    """Write a model for any batch."""
    require()
    import onnx

    sampler = Sampler(networks.generator)
    stored = sampler.noise()
    noise = [value.expand(EXAMPLES, -1, -1, -1) for value in stored.values()]
    names = [*sampler.inputs, *(f"noise_{name.replace('.', '_')}" for name in stored)]
    model = exported(sampler, (*sampler.examples(), *noise), names, sampler.dynamic_shapes(len(noise)))
    # The default noise has a batch of its own, 1.
    for entry in model.graph.input[len(sampler.inputs) :]:
        entry.type.tensor_type.shape.dim[0].dim_param = "noise_batch"
    for name, value in zip(names[len(sampler.inputs) :], stored.values()):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value.numpy(), name))
    onnx.checker.check_model(model)
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return lost(networks.generator)


def exported(module: nn.Module, inputs: tuple[Any, ...], names: list[str], dynamic_shapes: Any) -> Any:
    """Export a module, without the exporter's messages.

    Args:
        module: What to export. Its result is called images.
        inputs: Example inputs.
        names: Names of the inputs.
        dynamic_shapes: As `torch.export.export` takes them.

    Returns:
        An `onnx.ModelProto`.
    """
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    level = logging.root.manager.disable
    with warnings.catch_warnings(), quiet[0], quiet[1]:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            program = torch.onnx.export(
                module,
                inputs,
                dynamo=True,
                verbose=False,
                input_names=names,
                output_names=["images"],
                dynamic_shapes=dynamic_shapes,
            )
        finally:
            logging.disable(level)
    assert program is not None
    model = program.model_proto
    # An input's batch may be declared anew. Shapes between the operations would then be wrong.
    del model.graph.value_info[:]
    return model


def run(path: Path) -> Callable[..., Tensor]:
    """Load a model in ONNX Runtime, as a function (z, psi[, c], **noise) -> images."""
    require()
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def sample(z: Tensor, psi: float, c: Tensor | None = None, **noise: Tensor) -> Tensor:
        inputs = {"z": z, "psi": torch.tensor(psi), **({} if c is None else {"c": c}), **noise}
        (images,) = session.run(None, {name: value.float().numpy() for name, value in inputs.items()})
        return torch.from_numpy(images)

    return sample


formats.register("onnx")(
    Format(
        about="an ONNX model",
        suffix=".onnx",
        write=write,
        run=run,
    )
)
