"""The pages of the catalogue: one for each normalization by one template, and an index with all figures."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from stylegan2.files import markdown_table, replacing, write_text
from stylegan2.networks.normalization import NormalizationOptions
from stylegan2.networks.normalization.base import changes_features, definition, normalizations, options_of

from .facts import facts
from .measure import Layer, Measurement

PACKAGE = Path(__file__).parents[1]


def write_pages(measurements: Sequence[Measurement], out: Path, conditions: str) -> None:
    """Write index.md, a page and a picture for each normalization.

    Args:
        measurements: In the order of the table.
        out: The folder to write to.
        conditions: What time and memory were measured on.
    """
    for m in measurements:
        write_picture(m, out / "masks" / f"{m.name}.png")
        write_text(out / f"{m.name}.md", page(m, conditions))
    write_text(out / "index.md", index(measurements, conditions))


def page(m: Measurement, conditions: str) -> str:
    """The page of one normalization."""
    kind, f = normalizations[m.name], facts(m.name)
    source = Path(inspect.getfile(definition(kind)))
    code = ""
    if source.is_relative_to(PACKAGE):
        code = (
            f"```{{literalinclude}} ../../stylegan2/{source.relative_to(PACKAGE).as_posix()}\n"
            f":pyobject: {definition(kind).__name__}\n```"
        )
    parts = [
        f"# {f.title}",
        f"$$\n{f.equation}\n$$" if f.equation else "",
        f.verdict,
        "## Code",
        code,
        "## State",
        state(m.name),
        "## Use",
        use(m.name),
        "## Measured",
        table([m]),
        f"![What one output depends on](masks/{m.name}.png)",
        "The picture shows how strongly the middle pixel of one channel of one sample depends on the convolved "
        "features: rows are its own sample and another one, and columns are its own channel, the next one and the "
        f"last one. {conditions}",
        "## Checked against",
        f"{f.oracle[:1].upper()}{f.oracle[1:]}, in float64, with a tolerance of 1e-6 (tests/test_normalization*.py)."
        if f.oracle
        else "",
        "## Paper" if f.paper else "",
        linked(f.paper),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def linked(paper: str) -> str:
    """Text with links in place of numbers of arXiv."""
    words = []
    for word in paper.split():
        number = word.strip(",;")
        if number.startswith("arXiv:"):
            word = word.replace(number, f"[{number}](https://arxiv.org/abs/{number.removeprefix('arXiv:')})")
        words.append(word)
    return " ".join(words) + ("." if words else "")


def state(name: str) -> str:
    """A table of the parameters and buffers in a layer of 16 channels."""
    network = "generator" if normalizations[name].needs_styles else "discriminator"
    norm = Layer(name, network).module.normalization
    rows = [[f"`{key}`", "parameter", shape(p.shape)] for key, p in norm.named_parameters()]
    rows += [[f"`{key}`", "buffer", shape(b.shape)] for key, b in norm.named_buffers()]
    if not rows:
        return "It has no parameters and no state."
    text = (
        "Parameters and buffers in a layer of 16 channels. All are in checkpoints and in the generator EMA."
    )
    return text + "\n\n" + markdown_table(["name", "kind", "shape"], rows)


def shape(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes)) or "1"


def use(name: str) -> str:
    """How to choose it, and what it asks for."""
    kind, lines = normalizations[name], []
    lines.append(f"In the generator: `--model.generator.normalization {name}`. ")
    if changes_features(kind):
        what = "It follows the unmodulated convolution, "
        what += "and w gives its scale and shift." if kind.conditional else "and the styles scale its result."
        lines.append(what)
    if kind.needs_styles:
        lines.append("It is the default. The discriminator has no styles, so it cannot use it.")
    else:
        lines.append(f"In the discriminator: `--model.discriminator.normalization {name}`.")
    if kind.conditional:
        lines.append("There it reads the labels.")
    if kind.activates:
        lines.append("It replaces the activation.")
    if not changes_features(kind) and name not in ("none", "demodulation"):
        lines.append(f"Beside another normalization: `weight_normalization {name}` of either network.")
    text = " ".join(line.strip() for line in lines)
    written = {field.name for field in fields(NormalizationOptions)}
    options, others = ([o for o in options_of(kind) if (o in written) == known] for known in (True, False))
    if options:
        text += f"\n\nOptions, such as `normalization.{options[0]}`, and arguments in Python: {', '.join(options)}."
    if others:
        text += f"\n\nArguments in Python alone: {', '.join(others)}."
    for penalty, reason in kind.refuses.items():
        text += f"\n\nIt is refused with the penalty {penalty}: {reason}."
    if note := kind.notes.get("r1"):
        text += f"\n\nWith R1, {note}."
    return text


HEAD = [
    "name", "rms in D", "rms in G", "others ×2", "input ×2", "weights ×2", "far corner", "contrast",
    "couples", "derivatives", "time", "memory",
]  # fmt: skip


def table(measurements: Sequence[Measurement], link: bool = False) -> str:
    """The figures of several normalizations."""
    return markdown_table(HEAD, [row(m, link) for m in measurements])


def row(m: Measurement, link: bool) -> list[str]:
    coupled = [what for what in ("samples", "channels", "pixels") if getattr(m, what)]
    figures = (m.rms_d, m.rms_g, m.others, m.input_twice, m.weights_twice, m.far, m.contrast)
    return [
        f"[{m.name}]({m.name}.md)" if link else m.name,
        *(
            "–" if math.isnan(value) else f"{abs(value) if abs(value) < 0.005 else value:.2f}"
            for value in figures
        ),
        ", ".join(coupled) or "nothing",
        "finite" if m.finite else "not finite",
        f"{m.time:.2f}",
        f"{m.memory:.2f}",
    ]


def index(measurements: Sequence[Measurement], conditions: str) -> str:
    """The page with all figures."""
    names = "\n".join(m.name for m in measurements)
    pictures = [f"[![{m.name}](masks/{m.name}.png)]({m.name}.md)" for m in measurements]
    gallery = [
        [*pictures[i : i + 4], *[""] * (4 - len(pictures[i : i + 4]))] for i in range(0, len(pictures), 4)
    ]
    labels = [[m.name for m in measurements[i : i + 4]] for i in range(0, len(measurements), 4)]
    cells = [
        row for pair in zip(labels, gallery) for row in ([*pair[0], *[""] * (4 - len(pair[0]))], pair[1])
    ]
    return f"""# Normalizations

Each normalization is one word of a configuration, a module for any network, and a page here. The command
`stylegan2 normalizations --out docs/normalizations` measures them in one 3×3 convolution of random images, whose
contrast differs by a factor of 4, and writes these pages.

{table(measurements, link=True)}

- **rms in D, rms in G**: rms of the layer's output at the start without activation, for an input of rms 1.
- **others ×2**: change of a sample's output when the other samples of the batch double, relative to the output.
- **input ×2, weights ×2**: factor on the output when the input or the kernels double. What the first batch set stays.
- **far corner**: change of a corner, relative to the output, when a pixel in the opposite corner becomes bright. What
  is not 0 here can carry a signal by a spike, the cause of droplets (SG2 §2.1).
- **contrast**: 1 if the contrast of a sample reaches the output, and 0 if it does not.
- **couples**: what a normalized feature depends on beside itself.
- **derivatives**: the first and second derivative at a constant input.
- **time, memory**: a forward and backward pass, and what is kept for it, relative to demodulation. {conditions}

## Use

```
python train.py --model.generator.normalization batch
python train.py --model.discriminator.normalization group --model.discriminator.normalization.groups 8
python train.py --model.discriminator.weight_normalization spectral
python train.py --config configs/demo.yaml --config configs/normalizations/switchable.yaml
stylegan2 ablate --fields normalizations --seeds 1
```

In Python they are modules with the argument names of `torch.nn`, and `convert_normalization` replaces those of any
network in place:

```python
import torchvision
from stylegan2.networks.normalization import SwitchableNorm, convert_normalization

norm = SwitchableNorm(num_features=64, eps=1e-5, momentum=0.1, affine=True)
network = convert_normalization(torchvision.models.resnet18(), from_="batch", to="group", groups=8)
```

Batch statistics change what R1 penalizes, and training says so at its start. Running statistics, power-iteration
vectors, the reference batch of virtual batch normalization and all other state are in checkpoints and in the
generator EMA. `model.scalings.style_normalization`, the older option, modulates the input of a layer and then
normalizes.

## Which one

| you have | choose | why |
| --- | --- | --- |
| a generator with styles | demodulation | it follows the styles, keeps contrast and reads no features |
| batches of 1 to 4 images | demodulation, weight_standardization, group, filter_response | no coupled samples |
| labels | conditional_batch, conditional_instance | a scale and shift for each class |
| a scale and shift from w | adaptive_instance | both are styles |
| several devices and batch statistics | sync_batch | the same result for any number of devices |
| no time to lose | spectral, weight, weight_standardization, forced_weight | they read kernels, not features |
| a discriminator with R1 | none, or one of weights | batch statistics change what R1 penalizes |

## What an output depends on

{markdown_table(["", "", "", ""], cells)}

```{{toctree}}
:hidden:

{names}
```
"""


def write_picture(m: Measurement, path: Path) -> None:
    """Draw the mask: two rows of samples, three columns of channels, 5×5 pixels each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    largest = max(value for cell in m.mask for line in cell for value in line) or 1.0
    figure = Figure(figsize=(1.5, 1.05), dpi=100)
    FigureCanvasAgg(figure)
    for i, cell in enumerate(m.mask):
        axis = figure.add_axes((0.02 + (i % 3) * 0.33, 0.52 - (i // 3) * 0.5, 0.3, 0.44))
        # The fourth root shows small dependencies beside that of a pixel on itself.
        axis.imshow([[(v / largest) ** 0.25 for v in line] for line in cell], vmin=0, vmax=1, cmap="viridis")
        axis.set(xticks=[], yticks=[])
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
