"""Shared by all tests: the reference numbers and the comparison they are held to."""

import contextlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

# A fixed number of threads, since sums in another order round differently and many tests compare bits.
os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))

# submitit configures logging when it is imported. This closes the handlers of absl, which OpenVINO imports, and with
# them the files in which pytest captures output, unless submitit comes first.
with contextlib.suppress(ImportError):
    import submitit  # noqa: F401

# A shell or nohup may have these signals ignored for a job in the background. Tests send them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}


class Case:
    """One case of a golden file: `args`, and its arrays as tensors of the type asked for."""

    def __init__(self, name: str, args: dict, arrays: dict, dtype: torch.dtype):
        self.name, self.args, self.dtype = name, args, dtype
        self.arrays = {key: torch.from_numpy(np.array(value)).to(dtype) for key, value in arrays.items()}

    def __getitem__(self, key: str) -> torch.Tensor:
        return self.arrays[key]

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def get(self, key: str) -> torch.Tensor | None:
        return self.arrays.get(key)

    def leaf(self, key: str) -> torch.Tensor | None:
        """The array as a fresh tensor to differentiate by."""
        return self.arrays[key].clone().requires_grad_() if key in self.arrays else None

    def weights(self, prefix: str = "w:") -> dict[str, torch.Tensor]:
        return {k[len(prefix) :]: v for k, v in self.arrays.items() if k.startswith(prefix)}

    def check(self, key: str, value: torch.Tensor) -> None:
        """max|a - b| / max|b| within the file's tolerance; absolutely where the reference is all zero."""
        b = self.arrays[key]
        assert value.shape == b.shape, f"{self.name}/{key}: shape {tuple(value.shape)} not {tuple(b.shape)}"
        error = (value.detach() - b).abs().max() / (b.abs().max() or 1)
        assert error <= TOLERANCE[self.dtype], f"{self.name}/{key}: {error:.2e} off in {self.dtype}"


def golden_cases(file: str) -> list[str]:
    meta = json.loads((GOLDEN / f"{file}.json").read_text(encoding="utf-8"))
    return list(meta.get("cases", {"": None}))


def load_golden(file: str, case: str = "", dtype: torch.dtype = torch.float64) -> Case:
    meta = json.loads((GOLDEN / f"{file}.json").read_text(encoding="utf-8"))
    with np.load(GOLDEN / f"{file}.npz") as data:
        if not case:
            return Case(file, meta["args"], dict(data), dtype)
        prefix = f"{case}/"
        arrays = {k[len(prefix) :]: data[k] for k in data.files if k.startswith(prefix)}
    return Case(f"{file}/{case}", meta["cases"][case]["args"], arrays, dtype)


def parametrize_golden(*files: str):
    """Run a test for every case of the files, in float64 and in float32: the argument is `golden`."""
    params = [
        pytest.param((file, case, dtype), id=f"{file}{'/' if case else ''}{case}-{str(dtype)[6:]}")
        for file in files
        for case in golden_cases(file)
        for dtype in TOLERANCE
    ]
    return pytest.mark.parametrize("golden", params, indirect=True)


@pytest.fixture
def golden(request) -> Case:
    return load_golden(*request.param)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> list[str]:
    """Arguments of `ablate` that make every run take seconds."""
    from training_cases import tiny_config  # which imports what most tests do without

    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(tiny_config({"path": "demo/smileys-emotion"}, kimg=0.064), encoding="utf-8")
    return ["--config", str(path), "--images", "64", "--final_images", "16", "--features", "random"]


@pytest.fixture(scope="session")
def study_arguments(tiny, tmp_path_factory) -> list[str]:
    """Arguments of a study of the default, one ablation and one variant that diverges at once."""
    explosive = tmp_path_factory.mktemp("overlay") / "explosive.yaml"
    explosive.write_text("model: {learning_rate: 1.0e+30}\n", encoding="utf-8")
    out = tmp_path_factory.mktemp("studies") / "a study"
    more = ["--seeds", "1", "--control_seeds", "1", "--data.holdout", "10%", "--parallel", "3"]
    return [*tiny, "--fields", f"noise,{explosive}", *more, "--out", str(out)]


@pytest.fixture(scope="session")
def study(study_arguments):
    """That study, run; a test that changes it works on a copy."""
    from stylegan2.ablation.plan.study import load_study
    from stylegan2.tools.ablate import ablate_command

    assert ablate_command(study_arguments) == 0
    return load_study(Path(study_arguments[-1]))
