"""Sphinx extension: a page of the reference for each package, with a section for each public module."""

import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

SKIPPED = {"__main__"}


def page(package: ModuleType) -> str:
    """The page of a package: its own docstring, then its modules in the order of their names."""
    name = package.__name__
    sections = [heading(name, "="), automodule(name)]
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg and not module.name.startswith("_"):
            sections += [heading(f"{name}.{module.name}", "-"), automodule(f"{name}.{module.name}")]
    return "\n".join(sections)


def heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def automodule(name: str) -> str:
    """What a module itself defines, without what it passes on from another one."""
    return f".. automodule:: {name}\n   :ignore-module-all:\n"


def packages(root: ModuleType) -> list[ModuleType]:
    """The package and all packages below it."""
    found = [root]
    for module in pkgutil.walk_packages(root.__path__, root.__name__ + "."):
        if module.ispkg and "._" not in module.name:
            found.append(import_module(module.name))
    return found


def write_pages(app, config) -> None:
    folder = Path(config.api_folder)
    folder.mkdir(exist_ok=True)
    pages = {f"{package.__name__}.rst": page(package) for package in packages(config.api_package)}
    for path in folder.glob("*.rst"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if (
            not path.exists() or path.read_text(encoding="utf-8") != text
        ):  # an unchanged page is not read again
            path.write_text(text, encoding="utf-8")


def setup(app) -> dict:
    app.add_config_value("api_package", None, "")
    app.add_config_value("api_folder", None, "")
    app.connect("config-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
