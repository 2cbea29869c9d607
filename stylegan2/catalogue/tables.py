"""The figures of the record as tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from stylegan2.catalogue.measure import Measurement
from stylegan2.catalogue.record import Record
from stylegan2.catalogue.sizes import AXES, QUANTITIES, gain
from stylegan2.catalogue.studies import REFERENCES
from stylegan2.files import markdown_table

COLUMNS = [
    "name", "rms in D", "rms in G", "others ×2", "input ×2", "weights ×2", "far corner", "contrast",
    "couples", "derivatives", "batch 1", "1×1", "float16 error", "time", "memory",
]  # fmt: skip

PLACES = {"generator": "G", "discriminator": "D"}


def number(value: float | None, digits: int = 2) -> str:
    """A number of a table. "–" stands for one that does not exist."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def layer_row(m: Measurement, record: Record, link: bool = False) -> list[str]:
    """The cells of a normalization in one layer, by COLUMNS."""
    coupled = [what for what in ("samples", "channels", "pixels") if getattr(m, what)]
    figures = (m.rms_d, m.rms_g, m.others, m.input_twice, m.weights_twice, m.far, m.contrast)
    cost = record.figures("cost", m.name)
    return [
        f"[{m.name}]({m.name}.md)" if link else m.name,
        *map(number, figures),
        ", ".join(coupled) or "nothing",
        "finite" if m.finite else "not finite",
        number(m.batch_1),
        number(m.map_1),
        number(m.float16, 4),
        number(cost.get("time")),
        number(cost.get("memory")),
    ]


def cost_conditions(record: Record) -> str:
    """What time and memory were measured on."""
    c = record.conditions("cost")
    if not c:
        return ""
    images = "1 image" if c["batch"] == 1 else f"{c['batch']} images"
    return (
        f"Time and memory are those of a layer of G with {c['channels']} channels of {c['side']}² pixels and batches "
        f"of {images}, in float32 on {c['hardware']} with PyTorch {c['torch']}."
    )


# ---- over depth


def gain_cell(name: str, network: str, record: Record) -> str:
    """The gain per block in a network."""
    rms = record.figures("depth", name).get(network)
    return number(gain(rms)) if rms else "–"


def depth_table(name: str, record: Record) -> str:
    """Rms after each block of both networks, beside that of the defaults."""
    tables = []
    c = record.conditions("depth")
    for network, place in PLACES.items():
        of_both = {n: record.figures("depth", n).get(network) for n in (name, REFERENCES[network])}
        rows = {n: rms for n, rms in of_both.items() if rms}
        if name in rows:
            cells = [[n, *map(number, rms.values()), number(gain(rms))] for n, rms in rows.items()]
            tables.append(markdown_table([f"in {place}, after", *rows[name], "gain per block"], cells))
    if not tables:
        return ""
    return "\n\n".join(
        [
            f"Rms of the features after each block before training, at {c['resolution']}² pixels with {c['width']} "
            f"feature maps, in training mode. They are geometric means of {c['seeds']} seeds. The gain per block is "
            "1 if the signal keeps its size.",
            *tables,
        ]
    )


# ---- over size


def exponent_table(name: str, record: Record) -> str:
    """The measured exponents along every axis, beside the predicted ones."""
    found = record.figures("exponents", name)
    if not found:
        return ""
    quantities = list(found["width"])
    places = {q: place for network, place in PLACES.items() for q in QUANTITIES[network]}
    rows = [[f"{q} ({places[q]})", *(_exponent(found[over][q]) for over in AXES)] for q in quantities]
    seeds = record.conditions("exponents")["seeds"]
    return "\n\n".join(
        [
            f"How quantities of untrained networks grow, from {seeds} seeds, with 95 % intervals. Along depth it is "
            "the logarithm to base 2 for each block, and along the others it is an exponent. 0 means that a quantity "
            "keeps its size. The predicted value is in parentheses. A star marks an interval that excludes it by "
            "more than 0.1. Depth and resolution grow together, because each block doubles the side.",
            markdown_table(["", *AXES], rows),
        ]
    )


def departs(slope: Mapping[str, Any]) -> bool:
    """Whether the interval of a slope is farther than 0.1 from the prediction."""
    half = slope["half_width"] if math.isfinite(slope["half_width"]) else 0.0
    return slope["predicted"] is not None and abs(slope["mean"] - slope["predicted"]) > half + 0.1


def departures(name: str, record: Record) -> str:
    """The quantities that depart from their prediction, each with its axis."""
    found = record.figures("exponents", name)
    if not found:
        return "–"
    return (
        ", ".join(f"{q} over {over}" for over, of in found.items() for q, s in of.items() if departs(s))
        or "none"
    )


def _exponent(slope: Mapping[str, Any]) -> str:
    if not math.isfinite(slope["mean"]):
        return "0 at some size"
    text = number(slope["mean"]) + (
        f" ± {number(slope['half_width'])}" if math.isfinite(slope["half_width"]) else ""
    )
    if slope["predicted"] is not None:
        text += f" ({slope['predicted']:g}){'*' if departs(slope) else ''}"
    return text


# ---- in training


def training_text(name: str, record: Record, out: Path) -> str:
    """The results of a normalization in each network, with pictures."""
    parts = []
    for network, place in PLACES.items():
        reference, part = REFERENCES[network], f"training.{network}"
        c, found = record.conditions(part), record.figures(part, name)
        if not found:
            continue
        parts.append(f"**In {place}.** {verdict(name, network, record)}")
        for shown in dict.fromkeys([name, reference]):
            path = f"samples/{network}/{shown}.png"
            if (out / path).is_file():
                parts.append(f"{shown}: ![{c['data']} with {shown} in {place}]({path})")
    if not parts:
        return ""
    return "\n\n".join(
        [training_conditions(record), "All strips of a network show the same latents.", *parts]
    )


def training_conditions(record: Record) -> str:
    """How the studies were made."""
    texts = []
    for network, place in PLACES.items():
        if c := record.conditions(f"training.{network}"):
            texts.append(
                f"In {place}: {c['seeds']} run{'s' if c['seeds'] > 1 else ''} of {c['kimg']:g} kimg each on "
                f"{c['data']} at {c['resolution']} with batches of {c['batch']}. The distance is {c['metric']} "
                f"of {c['images']:,} images, relative to {REFERENCES[network]} in pairs of equal seed."
            )
    if not texts:
        return ""
    return " ".join([*texts, "Runs of this length show how training starts, and not where it ends."])


def verdict(name: str, network: str, record: Record) -> str:
    """The result of a normalization in a network, in two or three sentences."""
    found = record.figures(f"training.{network}", name)
    distance = f"Its distance is {found['distance']:.4g}." if found.get("distance") is not None else ""
    c = found.get("comparison")
    if c is None:
        return f"It is the default that the others are compared with. {distance}".strip()
    sentences = [f"Runs: {found['ended']}."] if found["ended"] else []
    sentences.append(distance)
    if math.isfinite(c["ratio"]):
        interval = f" (interval {c['low']:.2f} to {c['high']:.2f})" if math.isfinite(c["low"]) else ""
        sentences.append(f"It is {c['ratio']:.2f} times that of {REFERENCES[network]}{interval}.")
    sentences.append(VERDICTS[c["verdict"]])
    if math.isfinite(c["detectable"]) and c["verdict"] in ("no detectable effect", "undecided"):
        sentences.append(
            f"The smallest effect that the study could have seen is a factor of {c['detectable']:.2f}."
        )
    return " ".join(sentence for sentence in sentences if sentence)


VERDICTS = {
    "needed": "It is significantly worse than the default, by a factor of 2 or more or by divergence.",
    "helps": "It is significantly worse than the default.",
    "better without": "It is significantly better than the default.",
    "equivalent": "It is equivalent to the default.",
    "no detectable effect": "The study finds no difference from the default, and excludes a factor of 2.",
    "undecided": "The study does not decide between it and the default.",
    "not known": "One run of each cannot decide between it and the default.",
}
"""The verdicts of a study, which are on the default, in words that are on the normalization."""

SHORT = {
    "needed": "worse",
    "helps": "worse",
    "better without": "better",
    "equivalent": "equivalent",
    "no detectable effect": "no difference",
    "undecided": "undecided",
    "not known": "one run",
}


def training_cells(name: str, network: str, record: Record) -> list[str]:
    """The ratio of distances and the verdict in a network, for the overview."""
    found = record.figures(f"training.{network}", name)
    c = found.get("comparison")
    if not found:
        return ["–", "–"]
    if c is None:
        return ["1.00", "default"]
    short = "diverged" if found["ended"].startswith("diverged") else SHORT[c["verdict"]]
    return [number(c["ratio"]), short]


def findings(names: Sequence[str], network: str, record: Record) -> str:
    """What the study of a network found, in a few sentences. Nothing without a study."""
    by_verdict: dict[str, list[str]] = {}
    for name in names:
        _, short = training_cells(name, network, record)
        by_verdict.setdefault(short, []).append(name)
    comparisons = [record.figures(f"training.{network}", name).get("comparison") for name in names]
    limits = [c["detectable"] for c in comparisons if c and math.isfinite(c["detectable"])]
    sentences = [
        f"{words}: {', '.join(by_verdict[short])}."
        for short, words in {
            "better": "Significantly better",
            "equivalent": "Equivalent",
            "worse": "Significantly worse",
            "diverged": "Runs diverged",
        }.items()
        if short in by_verdict
    ]
    if open_ones := len(by_verdict.get("undecided", []) + by_verdict.get("no difference", [])):
        seen = f" It would have seen a factor of {median(limits):.2f} in half of them." if limits else ""
        sentences.append(f"The study found no difference for {open_ones} others.{seen}")
    if not sentences:
        return ""
    return f"**In {PLACES[network]}, compared with {REFERENCES[network]}.** {' '.join(sentences)}"


# ---- droplets


def droplet_cell(name: str, record: Record) -> str:
    """The peak at the highest resolution."""
    found = record.figures("droplets", name)
    return number(list(found.values())[-1]) if found else "–"


def droplet_table(name: str, record: Record) -> str:
    """Peaks in the feature maps of the trained generator, beside those of the default."""
    found = {n: record.figures("droplets", n) for n in dict.fromkeys([name, REFERENCES["generator"]])}
    if not found[name]:
        return ""
    sides = list(found[name])
    rows = [[n, *(number(peaks[side]) for side in sides)] for n, peaks in found.items() if peaks]
    return (
        "The largest magnitude of a feature map over its median magnitude, in the generator EMA after the training "
        "above. The magnitude of a pixel is the rms over channels. The table has means over samples, and geometric "
        "means over seeds. An isolated peak is the sign of droplet artifacts (SG2 §2.1), and the drawings themselves "
        "have peaks too, so the row of the default is the one to compare with.\n\n"
        + markdown_table(["after", *(f"{side}²" for side in sides)], rows)
    )
