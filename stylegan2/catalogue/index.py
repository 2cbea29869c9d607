"""The overview with all figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stylegan2.catalogue.measure import Measurement
from stylegan2.catalogue.record import Record
from stylegan2.catalogue.tables import (
    COLUMNS,
    PLACES,
    cost_conditions,
    departures,
    droplet_cell,
    gain_cell,
    layer_row,
    training_cells,
    training_conditions,
)
from stylegan2.files import markdown_table

MORE = [
    "gain in G", "gain in D", "departs", "peak", "distance in G", "verdict in G", "distance in D", "verdict in D",
]  # fmt: skip
"""The columns of the overview after those of one layer."""

COLUMNS_OF_PICTURES = 4


def index(names: Sequence[str], record: Record, out: Path) -> str:
    """The page with all figures, and with the pictures that are in the folder `out`."""
    rows = [overview_row(name, record) for name in names]
    listed = "\n".join(["choosing", *names])
    return f"""# Normalizations

Each normalization is one word of a configuration, a module for any network, and a page here.
[Which normalization?](choosing.md) helps to choose. The command
`stylegan2 normalizations --out docs/normalizations --parts all` measures them and writes these pages.

A click on a heading sorts the table.

{markdown_table([*COLUMNS, *MORE], rows)}

In one 3×3 convolution of random images, whose contrast differs by a factor of 4:

- **rms in D, rms in G**: rms of the layer's output at the start without activation, for an input of rms 1.
- **others ×2**: change of a sample's output when the other samples of the batch double, relative to the output.
- **input ×2, weights ×2**: factor on the output when the input or the kernels double. What was set from the first
  batch stays.
- **far corner**: change of a corner, relative to the output, when a pixel in the opposite corner becomes bright. If
  this is not 0, a spike can carry a signal, which is the cause of droplets (SG2 §2.1).
- **contrast**: 1 if the contrast of a sample reaches the output, and 0 if it does not.
- **couples**: what a normalized feature depends on beside itself.
- **derivatives**: the first and second derivative at a constant input.
- **batch 1, 1×1**: rms of the output for a single image, and for a single image of one pixel, in training mode.
  At one pixel, zero padding leaves a ninth of the kernel, so the rms of a sum falls to a third.
- **float16 error**: rms difference of the output in float16 from that in float32, relative to the output.
- **time, memory**: a forward and backward pass, and what is kept for it, relative to demodulation.
  {cost_conditions(record)}

In whole networks:

- **gain in G, gain in D**: factor on the rms of the features from one block to the next, before training.
- **departs**: quantities whose growth with the size of the networks differs from the prediction. The page of each
  normalization has all exponents.
- **peak**: largest magnitude of the last feature map of the trained generator over its median magnitude.
- **distance, verdict**: quality distance relative to the default of the network, which is demodulation in G and none
  in D, and whether the difference is significant.
  {training_conditions(record)}

## Use

```
python train.py --model.generator.normalization batch
python train.py --model.discriminator.normalization group --model.discriminator.normalization.groups 8
python train.py --model.discriminator.weight_normalization spectral
python train.py --config configs/demo.yaml --config configs/normalizations/switchable.yaml
stylegan2 ablate --fields normalizations --seeds 1
stylegan2 transfer --over width --variants batch,spectral
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

## Measure them on your data

```
stylegan2 normalizations --out pages
stylegan2 normalizations --out pages --parts training,droplets,pages --data photos/ --kimg 100 --seeds 3 --parallel 2
stylegan2 normalizations --out pages --parts training,pages --names instance,group --networks discriminator
```

The first command takes minutes. The second trains every normalization in either network. All keep their results in
`pages/measurements.json` and in the studies of the folder `--work`, so a command that was interrupted goes on.

## What an output depends on

{gallery(names)}

{samples(names, record, out)}

```{{toctree}}
:hidden:

{listed}
```
"""


def overview_row(name: str, record: Record) -> list[str]:
    """The cells of a normalization in the overview."""
    m = Measurement(**record.figures("layer", name))
    return [
        *layer_row(m, record, link=True),
        gain_cell(name, "generator", record),
        gain_cell(name, "discriminator", record),
        departures(name, record),
        droplet_cell(name, record),
        *training_cells(name, "generator", record),
        *training_cells(name, "discriminator", record),
    ]


def gallery(names: Sequence[str]) -> str:
    """The masks of all normalizations with links, in rows under their names."""
    n, rows = COLUMNS_OF_PICTURES, []
    for i in range(0, len(names), n):
        some, rest = names[i : i + n], [""] * (n - len(names[i : i + n]))
        rows += [[*some, *rest], [*(f"[![{name}](masks/{name}.png)]({name}.md)" for name in some), *rest]]
    return markdown_table([""] * n, rows)


def samples(names: Sequence[str], record: Record, out: Path) -> str:
    """Strips of samples with links, in a table for each network. Nothing without pictures."""
    tables = []
    for network, place in PLACES.items():
        shown = [name for name in names if (out / "samples" / network / f"{name}.png").is_file()]
        rows = [
            [f"[{name}]({name}.md)", f"![with {name} in {place}](samples/{network}/{name}.png)"]
            for name in shown
        ]
        if rows:
            tables.append(markdown_table([f"in {place}", "samples"], rows))
    if not tables:
        return ""
    about = (
        "The samples of a network are from the same latents and from seed 0, at the end of training or the last ones "
        f"before it diverged. {training_conditions(record)}"
    )
    return "\n\n".join(["## Samples", about, *tables])
