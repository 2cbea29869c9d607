"""The page that helps to choose a normalization."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stylegan2.catalogue.measure import Measurement
from stylegan2.catalogue.record import Record
from stylegan2.catalogue.tables import (
    PLACES,
    cost_conditions,
    droplet_cell,
    findings,
    number,
    training_cells,
    training_conditions,
)
from stylegan2.files import markdown_table
from stylegan2.networks.normalization.base import changes_features, normalizations


def choosing(names: Sequence[str], record: Record) -> str:
    """The page with a section for each situation: what to choose, why, and the figures that matter there."""
    measured = {name: Measurement(**record.figures("layer", name)) for name in names}
    times = {name: record.figures("cost", name).get("time") for name in names}
    coupled = [name for name, m in measured.items() if m.samples and name != "sync_batch"]
    apart = [name for name, m in measured.items() if not m.samples]
    fast = sorted(
        (name for name, t in times.items() if t is not None and t <= 1.1), key=lambda name: times[name] or 0
    )

    def table(chosen: Sequence[str], columns: dict[str, Callable[[str], str]]) -> str:
        rows = [[f"[{n}]({n}.md)", *(cell(n) for cell in columns.values())] for n in chosen if n in measured]
        return markdown_table(["name", *columns], rows) if rows else ""

    def distance(name: str, network: str) -> str:
        return " ".join(dict.fromkeys(training_cells(name, network, record)))

    scale = {
        "contrast": lambda n: number(measured[n].contrast),
        "far corner": lambda n: number(measured[n].far),
        "peak": lambda n: droplet_cell(n, record),
    }
    cost = {
        "time": lambda n: number(times[n]),
        "memory": lambda n: number(record.figures("cost", n).get("memory")),
    }
    quality = {
        "distance in G": lambda n: distance(n, "generator"),
        "distance in D": lambda n: distance(n, "discriminator"),
    }
    single = {"batch 1": lambda n: number(measured[n].batch_1), "1×1": lambda n: number(measured[n].map_1)}
    samples = {"others ×2": lambda n: number(measured[n].others)}
    texts = [*(findings(names, network, record) for network in PLACES), training_conditions(record)]
    found = "".join(f"{text}\n\n" for text in texts if text)
    weights = [
        n for n in names if not changes_features(normalizations[n]) and not normalizations[n].needs_styles
    ]
    return f"""# Which normalization?

Keep demodulation in the generator and no normalization in the discriminator, unless one of the situations below is
yours. The [overview](index.md) explains the columns and has all normalizations.

{found}## A generator with styles

Choose demodulation. It computes the expected scale from kernels and styles, and reads no features. The contrast of an
image therefore reaches the output, and no spike in a corner can change the rest. Instance normalization and its
relatives remove contrast, and let a spike carry a signal.

{table(["demodulation", "weight", "instance", "adaptive_instance", "batch", "layer"], scale | quality)}

## Batches of one to four images

Choose one that does not couple samples: demodulation or weight standardization, or group normalization if features
must be held. Batch statistics of a few images are noise, and differ from the running ones that evaluation uses. At
1×1 pixels, a normalization that subtracts the mean over pixels returns 0.

{table(apart, single | quality)}

## Labels

Choose conditional batch normalization with batches of 16 or more, and conditional instance normalization with smaller
ones. Both have a scale and shift for each class in the discriminator, and in the generator they take them from w,
which depends on the label. Demodulation needs neither, because w holds the label already.

{table(["conditional_batch", "conditional_instance", "demodulation"], samples | scale | cost | quality)}

## Control of the style by scale and shift

Choose adaptive instance normalization. Its scale and shift alone set the mean and contrast of a feature map, so w
controls both completely. The price is that the contrast of the features before it is lost. Demodulation controls
the scale alone, and keeps contrast.

{table(["adaptive_instance", "conditional_instance", "demodulation"], scale | quality)}

## Several devices

Those that do not couple samples give the same result on any number of devices, and need no communication. If it
must be batch statistics, choose synchronized batch normalization. The others of its family compute them on each
device alone, so that the result depends on the number of images for each device.

{table(["sync_batch", *coupled], samples | cost | quality)}

## Speed

These take at most 1.1 times as long as demodulation. A normalization of kernels reads no features, so its cost
matters less as images grow. {cost_conditions(record)}

{table(fast, cost | quality)}

## A discriminator with R1

Choose none, or a normalization of kernels. R1 is the gradient of a logit with respect to its own image. With batch
statistics the logit depends on the other images too, so the penalty changes its meaning.

{table(weights, quality)}
"""
