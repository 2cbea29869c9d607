"""Data flows one way: a module imports only from rows above its own; importing does nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "stylegan2"
ROWS = [
    ["errors", "memory"],
    ["ops", "image_files"],
    ["scalings", "data", "metrics", "distributed"],
    ["layers", "images"],
    ["mapping"],
    ["generator", "losses"],
    ["discriminator"],
    ["ema", "official", "loggers"],
    ["training"],
    ["benchmark", "checkpoint", "probing"],
    ["callbacks"],
    ["run"],
    ["cli"],
    ["ablation"],
    ["tools"],
    ["__main__", "__init__"],
]
RANK = {name: rank for rank, names in enumerate(ROWS) for name in names}


def top(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Top-level modules of the package that a file imports as it is imported itself."""
    package = ["stylegan2", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = [*base, *(node.module or "").split(".")] if node.module else base
            names = [[*full, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            continue
        yield from (name[1] for name in names if name[0] == "stylegan2" and len(name) > 1)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_from_rows_above_its_own(path):
    own = top(path)
    for name in set(imported(path)) - {own, "__version__"}:
        assert RANK[name] < RANK[own], f"{path.name} (row {RANK[own]}) imports {name} (row {RANK[name]})"


def test_importing_compiles_nothing_and_starts_nothing():
    code = (
        "import sys, stylegan2; "
        "bad = {'pytorch_lightning', 'wandb', 'torch.utils.cpp_extension', 'matplotlib'} & set(sys.modules); "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
