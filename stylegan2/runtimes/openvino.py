"""OpenVINO, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import Array, Precision, Run, Runtime, runtimes

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def load(model: bytes, threads: int, precision: Precision = "float32") -> Run:
    """Prepare a model. It is compiled once for each combination of shapes, since fixed shapes are faster."""
    import openvino  # type: ignore[import-untyped]

    core = openvino.Core()
    # OpenVINO computes in bfloat16 by default where the processor has it. The precision is always given here.
    options = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled: dict[tuple[Any, ...], Any] = {}

    def run(inputs: dict[str, Array]) -> Array:
        shapes = {name: list(value.shape) for name, value in inputs.items()}
        key = tuple((name, *shape) for name, shape in shapes.items())
        if key not in compiled:
            program = core.read_model(model)
            program.reshape(shapes)
            compiled[key] = core.compile_model(program, "CPU", options)
        images: Array = np.array(compiled[key](inputs)[0], np.float32)
        return images

    return run


runtimes.register("openvino")(
    Runtime(about="OpenVINO", packages=("onnx", "onnxscript", "openvino"), load=load)
)
