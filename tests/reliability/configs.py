"""Configuration files that name code, or hold something else than options."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml

from . import samples
from .runner import EXECUTED, Family

family = Family(
    name="configs",
    tried="a hostile configuration",
    holds="train, ablate and probe refuse it with a message before anything is written, and no module or class "
    "that it names is imported",
    count=150,
    prepare=samples.prepare,
)

EVIL = """
import pathlib
pathlib.Path({path!r}).touch()
class Evil:
    def __init__(self, *args, **kwargs):
        pathlib.Path({path!r}).touch()
def evil(*args, **kwargs):
    return Evil()
"""
"""A module that writes `{EXECUTED}` when it is imported."""

CLASSES = [
    "evil.Evil",
    "evil.evil",
    "evil",
    "runs.evil_run.helper.Evil",
    "runs.evil_run.helper",
    "os.system",
    "os.mkdir",
    "subprocess.Popen",
    "builtins.open",
    "builtins.exec",
    "pathlib.Path",
    "stylegan2.tools.pack.pack",
    "stylegan2.files.write_text",
    "torch.nn.Linear",
    "stylegan2.training.ema.EMA",
    "stylegan2.training.regularizers.r1.R1",
    "pytorch_lightning.Trainer",
    "antigravity.fly",
]


def leaves(options: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in options.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


def all_options() -> list[tuple[str, ...]]:
    """The place of every option in a configuration, and of every group of options."""
    from stylegan2.cli import train_parser

    found: dict[str, None] = {}
    for action in train_parser()._actions:
        parts = action.dest.split(".")
        if action.dest not in ("help", "config", "print_config"):
            found |= {".".join(parts[: k + 1]): None for k in range(len(parts))}
    return [tuple(name.split(".")) for name in found]


def put(options: dict, place: tuple[str, ...], value: object) -> None:
    *groups, last = place
    for group in groups:
        if not isinstance(options.get(group), dict):
            options[group] = {}
        options = options[group]
    options[last] = value


def base() -> dict[str, Any]:
    return yaml.safe_load(samples.TINY)


def refused(folder: Path, random: Random, text: str | bytes) -> str:
    """Give a configuration to a command, with modules around that write a file when they are imported."""
    for path in ("evil.py", "runs/evil_run/helper.py"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(EVIL.format(path=str(folder / EXECUTED)), encoding="utf-8")
    sys.path.insert(0, str(folder))
    run = folder / "runs/evil_run"
    (run / "checkpoints").mkdir()
    (run / "checkpoints/last.ckpt").write_bytes(samples.checkpoint())
    config = run / "config.yaml"
    config.write_bytes(text.encode() if isinstance(text, str) else text)
    commands = {
        "train": ["--config", config],
        "train, resumed": ["--config", config, "--ckpt_path", "last"],
        "train, named": ["--name", "evil_run", "--ckpt_path", "last"],
        "ablate": ["--config", config, "--out", "study", "--fields", "noise"],
        "probe": ["--config", config, "--out", "probe"],
        "probe of a checkpoint": ["--checkpoint", run / "checkpoints/last.ckpt", "--out", "probe"],
    }
    name = random.choice(list(commands))
    with samples.nothing_written(folder):
        # A sound configuration would be refused too, for its data: what matters is what happens before.
        return samples.refuses(name.split()[0].rstrip(","), *commands[name], "--data.path", "missing")


def class_path(random: Random, depth: int = 0) -> dict[str, Any]:
    value: dict[str, Any] = {"class_path": random.choice(CLASSES)}
    arguments = [
        {},
        {"args": f"touch {EXECUTED}", "shell": True},
        {"file": EXECUTED, "mode": "w"},
        {"path": EXECUTED},
    ]
    if random.random() < 0.6:
        value["init_args"] = random.choice(arguments)
    if random.random() < 0.2:
        value["dict_kwargs"] = random.choice(arguments)
    if random.random() < 0.3 and depth < 3:
        value.setdefault("init_args", {})["half_life_kimg"] = class_path(random, depth + 1)
    return value


@family.kind("class path as the value of an option")
def value(folder: Path, random: Random) -> str:
    options, place = base(), random.choice(all_options())
    put(options, place, random.choice([class_path(random), [class_path(random)], random.choice(CLASSES)]))
    return refused(folder, random, yaml.safe_dump(options))


@family.kind("class path for the average of weights")
def average(folder: Path, random: Random) -> str:
    options = base()
    put(options, ("model", "ema"), random.choice([class_path(random), random.choice(CLASSES)]))
    return refused(folder, random, yaml.safe_dump(options))


@family.kind("options of classes that are none")
def unknown(folder: Path, random: Random) -> str:
    options, place = base(), random.choice(all_options())
    key = random.choice(
        ["class_path", "init_args", "__path__", "__class__", "__init__", "callbacks", "trainer"]
    )
    put(options, (*place[:-1], key), random.choice([class_path(random), random.choice(CLASSES), [EXECUTED]]))
    return refused(folder, random, yaml.safe_dump(options))


@family.kind("tags of Python")
def tags(folder: Path, random: Random) -> str:
    tag = random.choice(
        [
            f"!!python/object/apply:os.system ['touch {EXECUTED}']",
            f"!!python/object/apply:os.mkdir [{EXECUTED}]",
            f"!!python/object/new:os.system ['touch {EXECUTED}']",
            f"!!python/object/apply:subprocess.Popen [[touch, {EXECUTED}]]",
            "!!python/object/apply:evil.evil []",
            "!!python/object:evil.Evil {}",
            "!!python/module:evil",
            "!!python/name:evil.Evil",
            "!evil.Evil {}",
            f"!include {EXECUTED}",
            "!!map [1]",
        ]
    )
    options, place = base(), random.choice(all_options())
    put(options, place, "HERE")
    return refused(folder, random, yaml.safe_dump(options).replace("HERE", tag))


@family.kind("values of another type")
def types(folder: Path, random: Random) -> str:
    values = [
        None,
        True,
        -1,
        0,
        10**400,
        1e308,
        ".inf",
        "-.inf",
        ".nan",
        "",
        "x" * 100_000,
        [],
        {},
        [[]],
        {"a": 1},
    ]
    values += [
        float("inf"),
        float("nan"),
        "\x00",
        "\u202e",
        "0x10",
        "1e3",
        "2020-01-01",
        "~",
        "*",
        "&",
        "%",
        "[",
        "{",
    ]
    options = base()
    for place in random.sample(all_options(), random.randint(1, 3)):
        put(options, place, random.choice(values))
    return refused(folder, random, yaml.safe_dump(options, allow_unicode=True))


@family.kind("a few lines that stand for billions")
def laughs(folder: Path, random: Random) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, random.choice([3, 9]))]
    lines.append(random.choice([f"kimg: *a{len(lines) - 1}", f"loggers: *a{len(lines) - 1}", "<<: *a0"]))
    return refused(folder, random, samples.TINY + "\n".join(lines))


@family.kind("a list within itself")
def loop(folder: Path, random: Random) -> str:
    text = random.choice(
        ["loggers: &a [*a]", "metrics: &a {names: *a}", "data: &a\n  path: *a", "x: &a {<<: *a}"]
    )
    return refused(folder, random, text)


@family.kind("nested deeply")
def deep(folder: Path, random: Random) -> str:
    depth = random.choice([200, 5000])
    flow = random.choice([("[", "]"), ("{a: ", "}")])
    text = f"{random.choice(['kimg', 'model', 'x'])}: {flow[0] * depth}{flow[1] * depth}"
    return refused(folder, random, text)


@family.kind("other text")
def text(folder: Path, random: Random) -> str:
    tiny = samples.TINY.encode()
    at = random.randrange(len(tiny))
    junk = [
        b"\0",
        b"\t",
        b"\xff",
        b"---\n",
        b"...\n",
        b"\x1b[2J",
        b"%YAML 9.9\n",
        b"&a *b",
        b'"',
        b"'",
        b"? ",
        b"|9\n",
    ]
    return refused(
        folder,
        random,
        random.choice(
            [
                tiny[:at] + random.choice(junk) + tiny[at:],
                random.randbytes(random.randint(1, 2000)),
                tiny.decode().encode(random.choice(["utf-16", "utf-32", "utf-16-be"])),
                b"",
                b"[]",
                b"text",
                b"42",
                tiny + tiny,
                b"\x80\x04" + tiny,
            ]
        ),
    )


@family.kind("other files as values")
def other_files(folder: Path, random: Random) -> str:
    options = base()
    place = random.choice(
        [("config",), ("ckpt_path",), ("name",), ("runs",), ("metrics", "names"), ("loggers",)]
    )
    put(
        options,
        place,
        random.choice(["/dev/zero", "/etc/passwd", "evil.py", "../..", "config.yaml", "$(touch x)"]),
    )
    return refused(folder, random, yaml.safe_dump(options))
