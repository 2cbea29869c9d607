"""The record of what was measured: a JSON file that is written after every measurement, so that a rerun resumes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stylegan2.errors import InputError
from stylegan2.files import write_text

NAME = "measurements.json"


class Record:
    """Figures by part and normalization, with the conditions of each part.

    Args:
        folder: Where measurements.json is or will be.

    Raises:
        InputError: The file that is there is no such record.
    """

    def __init__(self, folder: Path):
        self.path = folder / NAME
        self.parts: dict[str, dict[str, Any]] = {}
        if self.path.is_file():
            try:
                self.parts = json.loads(self.path.read_text(encoding="utf-8"))
                for part in self.parts.values():
                    dict(part["conditions"]), dict(part["figures"])
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise InputError(
                    f"Expected the measurements of an earlier call in {self.path}, found something else ({error}). "
                    "Delete the file to measure again."
                ) from error

    def begin(self, part: str, conditions: Mapping[str, Any], names: Iterable[str]) -> list[str]:
        """The normalizations that a part still has to measure. Figures under other conditions are dropped."""
        if self.conditions(part) != dict(conditions):
            self.parts[part] = {"conditions": dict(conditions), "figures": {}}
        return [name for name in names if name not in self.parts[part]["figures"]]

    def put(self, part: str, name: str, figures: Mapping[str, Any]) -> None:
        """Keep the figures of a normalization, and write the file."""
        self.parts[part]["figures"][name] = _rounded(figures)
        write_text(self.path, _text(self.parts))

    def figures(self, part: str, name: str) -> dict[str, Any]:
        """The figures of a normalization, or nothing if the part has none."""
        found: dict[str, Any] = self.parts.get(part, {}).get("figures", {}).get(name, {})
        return found

    def conditions(self, part: str) -> dict[str, Any]:
        """How a part was measured, or nothing if it was not."""
        found: dict[str, Any] = self.parts.get(part, {}).get("conditions", {})
        return found


def _rounded(data: Any) -> Any:
    """Plain data with six digits of every number, so that the file is short."""
    if isinstance(data, Mapping):
        return {key: _rounded(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_rounded(value) for value in data]
    return float(f"{data:.6g}") if isinstance(data, float) else data


def _text(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON with a line for each normalization of a part."""
    texts = []
    for part, content in parts.items():
        lines = [f"   {json.dumps(name)}: {json.dumps(found)}" for name, found in content["figures"].items()]
        figures = ",\n".join(lines)
        head = f' {json.dumps(part)}: {{\n  "conditions": {json.dumps(content["conditions"])},\n  "figures": {{\n'
        texts.append(f"{head}{figures}\n  }}\n }}")
    return "{\n" + ",\n".join(texts) + "\n}\n"
