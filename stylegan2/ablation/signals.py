"""What each variant does to the signal before any training: rms over depth, logits, images."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

import torch

from stylegan2.ablation.study import Run, Study, write
from stylegan2.cli import build_data, build_model, train_parser
from stylegan2.data.dataset import to_float
from stylegan2.probing import probe

SEEDS = 3
SAMPLES = 16


@dataclass(frozen=True, kw_only=True)
class Signal:
    """At initialisation, geometric means over a few seeds."""

    discriminator: dict[str, float]
    """rms after each block and each layer of the end, real images going in, in order."""
    generator: dict[str, float]
    """rms after each synthesis layer, and of the image."""
    logits_std: float
    """Standard deviation of the logits over real images."""


def signals(study: Study) -> dict[str, Signal]:
    """Of every variant; measured once and kept in the study's folder."""
    path, found = study.out / "signals.json", {}
    if path.is_file():
        found = {name: Signal(**values) for name, values in json.loads(path.read_text()).items()}
    missing = [variant.name for variant in study.variants if variant.name not in found]
    if missing:
        parser = train_parser()
        for name in missing:
            args = ["--config", str(study.base), "--config", str(study.overlay(Run(variant=name, seed=0)))]
            options = parser.instantiate(parser.parse_args(args))
            found[name] = _measure(options)
        write(path, json.dumps({name: asdict(signal) for name, signal in found.items()}, indent=1))
    return found


def _measure(options) -> Signal:
    dataset = build_data(options).open(progress=False)
    rows = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:SAMPLES].tolist()
    images, labels = dataset[rows]
    images = to_float(images)
    measured = []
    for seed in range(SEEDS):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = build_model(options, dataset, options.batch, options.batch_per_device)
            z = torch.randn(len(images), model.generator.z_dim)
        d = probe(model.discriminator, (images, labels), seed=seed)
        g = probe(model.generator, (z, labels), seed=seed)
        with torch.no_grad():
            logits_std = model.discriminator(images, labels).std().item()
        measured.append(
            (
                {r.name: r.rms for r in d.rows if re.fullmatch(r"b\d+|b4\.(conv|fc|out)", r.name)},
                {
                    r.name.removeprefix("synthesis."): r.rms
                    for r in g.rows
                    if re.fullmatch(r"synthesis(\.b\d+\.conv\d)?", r.name)
                },
                logits_std,
            )
        )
    discriminators, generators, stds = zip(*measured)
    # The last block's own row repeats that of its output layer.
    discriminator = {name: rms for name, rms in _means(discriminators).items() if name != "b4"}
    generator = {("image" if name == "synthesis" else name): v for name, v in _means(generators).items()}
    return Signal(
        discriminator=discriminator, generator=generator, logits_std=_means([{"": s} for s in stds])[""]
    )


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    values = {key: torch.tensor([row[key] for row in rows]).clamp_min(1e-30) for key in rows[0]}
    return {key: value.log().mean().exp().item() for key, value in values.items()}
