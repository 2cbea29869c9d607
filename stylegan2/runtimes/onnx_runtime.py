"""ONNX Runtime, on the CPU."""

from __future__ import annotations

from stylegan2.errors import InputError

from . import Array, Precision, Run, Runtime, runtimes


def load(model: bytes, threads: int, precision: Precision = "float32") -> Run:
    """Prepare a model for any batch."""
    if precision != "float32":
        raise InputError(f"ONNX Runtime computes in float32 here, found {precision}. Use openvino or torch.")
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(inputs: dict[str, Array]) -> Array:
        images: Array = session.run(None, inputs)[0]
        return images

    return run


runtimes.register("onnxruntime")(
    Runtime(about="ONNX Runtime", packages=("onnx", "onnxscript", "onnxruntime"), load=load)
)
