"""Labels that do not fit their images, or that are none."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from . import samples
from .runner import Family
from .sources import make

family = Family(
    name="labels",
    tried="a wrong dataset.json",
    holds="it is refused with a message",
    count=70,
    prepare=samples.prepare,
    seconds=30,
)


def labelled(folder: Path, text: str | bytes) -> str:
    root = make(folder / "photos")
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    (root / "dataset.json").write_bytes(content)
    return samples.refused(lambda: samples.opened(root, classes="labels"))


SOUND = {"a/0.png": 0, "a/1.png": 1, "b/2.png": 0}


def pairs(labels: dict) -> str:
    return json.dumps({"labels": [[name, label] for name, label in labels.items()]})


@family.kind("nested deeply")
def nested(folder: Path, random: Random) -> str:
    depth = random.choice([900, 10_000, 1_000_000])
    start, end = random.choice([("[", "]"), ('{"labels":', "}"), ('{"a":[', "]}")])
    return labelled(folder, random.choice([start * depth, f'{{"labels": {start * depth}0{end * depth}}}']))


@family.kind("not JSON")
def not_json(folder: Path, random: Random) -> str:
    sound = pairs(SOUND)
    texts = [
        b"",
        b"labels:",
        b"null",
        b"[]",
        b"42",
        b'"x"',
        b'{"labels": null}',
        b'{"labels": 3}',
        random.randbytes(500),
    ]
    texts += [
        sound.encode("utf-16-be"),
        sound.encode() + b"}",
        sound.replace('"', "'").encode(),
        b"\x80\x04" + sound.encode(),
    ]
    return labelled(folder, random.choice(texts))


@family.kind("labels that are none")
def no_labels(folder: Path, random: Random) -> str:
    wrong = [
        float("nan"),
        float("inf"),
        None,
        True,
        "0",
        [],
        {},
        [float("nan")],
        [[0]],
        -1,
        7,
        2**70,
        0.5,
        [0, "x"],
    ]
    labels = SOUND | {random.choice(list(SOUND)): random.choice(wrong)}
    return labelled(folder, pairs(labels))


@family.kind("vectors that are none")
def no_vectors(folder: Path, random: Random) -> str:
    wrong = [
        [0.1],
        [0.1, 0.2, 0.3],
        [float("nan"), 0],
        [float("inf"), 0],
        [1e39, 0],
        [None, 0],
        0,
        [],
        ["a", "b"],
        [[1], [2]],
    ]
    labels = {name: [0.1, 0.9] for name in SOUND} | {random.choice(list(SOUND)): random.choice(wrong)}
    return labelled(folder, pairs(labels))


@family.kind("other files")
def other_files(folder: Path, random: Random) -> str:
    labels = dict(SOUND)
    if random.random() < 0.5:
        del labels[random.choice(list(labels))]
    else:
        labels[random.choice(["missing.png", "../x.png", "/a/0.png", "a\\9.png", "", "A/0.png", "a"])] = 0
    return labelled(folder, pairs(labels))


@family.kind("two labels for a file")
def twice(folder: Path, random: Random) -> str:
    items = [[name, label] for name, label in SOUND.items()]
    spelled = random.choice(["a/0.png", "./a/0.png", "a//0.png", "a\\0.png"])
    items.insert(random.randint(0, 3), [spelled, random.choice([0, 1])])
    return labelled(folder, json.dumps({"labels": items}))


@family.kind("entries of another form")
def forms(folder: Path, random: Random) -> str:
    wrong = [
        ["a/0.png"],
        ["a/0.png", 0, 1],
        "a/0.png",
        3,
        None,
        {"a/0.png": 0},
        [0, "a/0.png"],
        [None, 0],
        [["a"], 0],
    ]
    items: list = [[name, label] for name, label in SOUND.items()]
    items[0] = random.choice(wrong)
    return labelled(folder, json.dumps({"labels": random.choice([items, dict(SOUND), {"0": items}])}))
