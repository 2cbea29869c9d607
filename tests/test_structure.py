"""Data flows one way: imports run downwards only; importing does nothing; help imports what help needs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from stylegan2.__main__ import COMMANDS

PACKAGE = Path(__file__).parent.parent / "stylegan2"
ROWS = [
    ["errors", "ops", "pickles", "sizes", "threads"],
    ["files"],
    ["console", "html_page", "registry", "yaml_files"],
    ["parsing"],
    ["kernels"],  # registers itself: nothing below but the package itself and what measures it imports it
    ["networks", "data", "metrics"],
    ["images"],
    ["augment", "formats", "reporting", "survey"],
    ["explore", "runtimes", "training"],
    ["benchmark", "cli"],
    ["advice", "coordinates", "page", "probing"],
    ["ablation", "blackbox"],
    ["catalogue"],
    ["optimum"],
    ["tools"],
    ["__main__", "__init__"],
]
RANK = {name: rank for rank, names in enumerate(ROWS) for name in names}
MAY_IMPORT_KERNELS = {"__init__", "benchmark", "tools", "kernels"}
FILES = sorted(PACKAGE.rglob("*.py"))


def top(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Top-level modules of the package that a file imports, at whatever depth of its code."""
    package = ["stylegan2", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = [*base, *(node.module or "").split(".")] if node.module else base
            names = [[*full, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            continue
        yield from (name[1] for name in names if name[0] == "stylegan2" and len(name) > 1)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_from_rows_above_its_own(path):
    own = top(path)
    for name in set(imported(path)) - {own, "__version__"}:
        assert RANK[name] < RANK[own], f"{path.name} (row {RANK[own]}) imports {name} (row {RANK[name]})"
        assert name != "kernels" or own in MAY_IMPORT_KERNELS, f"{path.name} imports the kernels"


def test_ops_import_nothing_of_the_package():
    assert [path.name for path in FILES if top(path) == "ops" and set(imported(path)) - {"ops"}] == []


def heavy_modules(code):
    """Which of the packages that take seconds to import a piece of code imports."""
    code += (
        "\nimport sys; heavy = {'pytorch_lightning', 'wandb', 'matplotlib', 'torchvision', 'scipy.signal', "
        "'torch._dynamo', 'torch.utils.cpp_extension'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    return ast.literal_eval(done.stdout.splitlines()[-1])


def test_importing_compiles_nothing_and_starts_nothing():
    assert heavy_modules("import stylegan2") == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_that_it_does_not_need(command):
    """It takes about 1.2 times as long as `import torch`."""
    code = f"""
from stylegan2.__main__ import main
try:
    main([{command!r}, "--help"])
except SystemExit as end:
    assert end.code == 0"""
    assert heavy_modules(code) == []
