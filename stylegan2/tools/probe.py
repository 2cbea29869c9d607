"""What every layer does to signal, gradient and step size: measured and explained in one command."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml
from jsonargparse import Namespace
from torch import Tensor

from stylegan2.cli import (
    CONFIGS,
    build_data,
    build_model,
    exit_status,
    select,
    train_parser,
    with_default_config,
)
from stylegan2.data import InfiniteSampler, to_float
from stylegan2.errors import InputError
from stylegan2.formats import native
from stylegan2.probing.measure import probe_model
from stylegan2.probing.options import ProbeOptions
from stylegan2.probing.predictions import PREDICTIONS, check_theory, path_length_by_resolution
from stylegan2.probing.rules import Finding, fault
from stylegan2.training.options import RunOptions

if TYPE_CHECKING:
    from stylegan2.probing.report import Variant
    from stylegan2.training.module import StyleGAN2


def ablations() -> dict[str, dict[str, object]]:
    """The ablations of configs/ablations: by name, the option below `model` that makes each.

    Of an overlay the first option counts; more are the circumstances in which `stylegan2 ablate` trains. The
    order is that of the predictions, then that of the files.
    """
    found = {}
    for path in sorted((CONFIGS / "ablations").glob("*.yaml")):
        key, value = next(_options_in(yaml.safe_load(path.read_text())["model"]))
        text = value if isinstance(value, str) else json.dumps(value)
        found[f"{key.removeprefix('scalings.')}={text}"] = {key: value}
    return {name: found[name] for name in dict.fromkeys([*PREDICTIONS, *found]) if name in found}


def _options_in(tree: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted names and values of nested options."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _options_in(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def chosen_ablations(wanted: str) -> dict[str, dict[str, object]]:
    """The ablations that `--variants` asks for.

    Raises:
        InputError: A name that is none of them.
    """
    every = ablations()
    if wanted in ("all", "none"):
        return every if wanted == "all" else {}
    found = {}
    for name in wanted.split(","):
        matches = [a for a in every if name in (a, a.split("=")[0], a.split("=")[0].split(".")[-1])]
        if not matches:
            raise InputError(
                f"Expected --variants of all, none or a scaling, found {name}. Choose from {', '.join(every)}."
            )
        found |= {match: every[match] for match in matches}
    return found


class Builder:
    """Builds the configured networks and their variants, on one data set and one device."""

    def __init__(self, parser, args: list[str]):
        self.parser, self.args = parser, args
        config = self._parse({})
        self.run, self.options = select(config, RunOptions), select(config, ProbeOptions)
        self.data = build_data(config)
        self.device = "cuda" if self.run.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
        self.dataset = self.data.open(minimum=self.run.batch if self.options.iterations else 1)

    def _parse(self, overrides: Mapping[str, object]) -> Namespace:
        values = {k: v if isinstance(v, str) else json.dumps(v) for k, v in overrides.items()}
        extra = [f"--model.{name}={value}" for name, value in values.items()]
        return self.parser.instantiate(self.parser.parse_args([*self.args, *extra]))

    def build(self, overrides: Mapping[str, object], seed: int) -> StyleGAN2:
        """Networks and losses, with some options below `model` replaced."""
        torch.manual_seed(seed)
        model = build_model(self._parse(overrides), self.dataset, self.run.batch, self.run.batch_per_device)
        return model.to(self.device)

    def batch(self, model: StyleGAN2) -> tuple[Tensor, Tensor]:
        """8 real images in [-1, 1], fewer where they are large, in whole minibatch groups; and their labels."""
        resolution = model.generator.resolution
        n = 8 if resolution <= 128 else 4 if resolution <= 256 else 2
        n = n - n % (model.discriminator.minibatch_group or 1) or n
        self.dataset.require(n)
        sampler = InfiniteSampler(len(self.dataset), batch=n, seed=self.run.seed)
        images, labels = self.dataset[next(iter(sampler))]
        return to_float(images).to(self.device), labels.to(self.device)

    def train(self, model: StyleGAN2) -> str | None:
        """Train the model itself for some iterations; returns what training said if it diverged."""
        from stylegan2.training.module import Diverged

        optimizers = model.configure_optimizers()
        batches = iter(self.dataset.loader(model.batch, seed=self.run.seed, start=model.images))
        torch.manual_seed(self.run.seed)
        try:
            for _ in range(self.options.iterations):
                images, labels = next(batches)
                model.iterate(images.to(self.device), labels.to(self.device), *optimizers)
        except Diverged as error:
            return str(error)
        return None

    def probe(self, name: str, model: StyleGAN2) -> Variant:
        """The model measured at its start and, if that is asked for, after training."""
        from stylegan2.probing.report import Variant

        reals, labels = self.batch(model)
        start, diverged, after = probe_model(model, reals, labels, self.run.seed, progress=True), None, None
        if self.options.iterations:
            diverged = self.train(model)
            if not diverged:
                after = probe_model(model, reals, labels, self.run.seed, progress=True)
        return Variant(name=name, start=start, diverged=diverged, after=after)


def _checkpoint_config(args: list[str]) -> list[str]:
    """The arguments, headed by the config.yaml of the checkpoint's run, unless they name a configuration."""
    split = [part for arg in args for part in (arg.split("=", 1) if arg.startswith("--") else [arg])]
    options = dict(zip(split, split[1:]))
    if "--config" in options or "--checkpoint" not in options:
        return with_default_config(args)
    config = Path(options["--checkpoint"]).parent.parent / "config.yaml"
    if not config.is_file():
        native.read(options["--checkpoint"])  # has an error of its own if there is no such file
        raise InputError(
            f"Expected the run's configuration at {config}, found no such file. Give it by --config."
        )
    return with_default_config(["--config", str(config), *args])


def load(model: StyleGAN2, path: str) -> list[Finding]:
    """Load a checkpoint into the model; returns what it lacks."""
    from stylegan2.training.checkpoint import read_matching

    contents = read_matching(path, model)
    missing, _ = model.load_state_dict(contents["state_dict"], strict=False)
    if any(not name.startswith(("generator_ema.", "path_length_mean")) for name in missing):
        raise InputError(f"{path} lacks {', '.join(missing[:3])}. Give a checkpoint that training wrote.")
    state = contents[native.KEY]
    model.iteration, model.images = state["iteration"], state["images"]
    return checkpoint_findings(contents, missing)


def checkpoint_findings(contents: Mapping, missing: list[str]) -> list[Finding]:
    """What a checkpoint lacks of what resuming from it needs; `missing` names tensors of the model."""
    lacks = {
        "the running average": any(name.startswith("generator_ema.") for name in missing),
        "the path length's mean": "path_length_mean" in missing,
        "the optimizers' state": [bool(s.get("state")) for s in contents.get("optimizer_states", [])]
        != [True, True],
    }
    found = " and ".join(what for what, lacking in lacks.items() if lacking)
    text = f"the checkpoint lacks {found}: a resumed run would not go on as the first did"
    return [fault("checkpoint incomplete", text)] if found else []


def make_probe_parser(prog: str = "stylegan2 probe"):
    """All options of training, since a run's own config.yaml holds them, and those of the probe."""
    parser = train_parser(prog)
    parser.description = (
        "Measure what every layer of a generator, a discriminator and their losses does to signal, gradient "
        "and step size on real images; put variants and theory beside it; say in plain words what is wrong. "
        "Takes the options of train.py. Exit status: 0 no fault, 1 a fault, 2 bad input."
    )
    parser.add_class_arguments(ProbeOptions)
    return parser


def probe_command(args: list[str], prog: str = "stylegan2 probe") -> int:
    """Probe the configured networks or a checkpoint: `stylegan2 probe`. Returns the exit status."""
    builder = Builder(make_probe_parser(prog), _checkpoint_config(args))
    from stylegan2.probing.report import diagnosis, write_report  # matplotlib, which --help does without

    options, seed = builder.options, builder.run.seed
    chosen = chosen_ablations(options.variants)
    model = builder.build({}, seed)
    extra = load(model, options.checkpoint) if options.checkpoint else []
    config, resolution = model.generator.config, model.generator.resolution

    what = options.checkpoint or "fresh networks"
    heading = f"{what}, {resolution}×{resolution}, {builder.data.path}, seed {seed}"
    print(f"Probing {heading}", flush=True)
    variants = [builder.probe("as configured", model)]
    findings = [*extra, *variants[0].findings]
    print(diagnosis(findings), flush=True)
    for name, overrides in chosen.items():
        print(f"Variant {name}", flush=True)
        variants.append(builder.probe(name, builder.build(overrides, seed)))
    predictions, lengths = [], []
    if options.theory_seeds:
        seeds = range(seed, seed + options.theory_seeds)
        print(f"Theory and measurement over {options.theory_seeds} seeds", flush=True)
        predictions = check_theory(builder.build, *builder.batch(model), chosen, seeds)
        resolutions = [2**i for i in range(4, max(resolution, 128).bit_length())]
        lengths = path_length_by_resolution(config, model.generator.scalings, resolutions, seeds)
    out = Path(options.out)
    write_report(out, variants, predictions, lengths, findings, heading)
    print(f"Report     {out / 'probe.md'}\nNumbers    {out / 'probe.json'}")
    return int(any(f.fault for f in findings))


def main(args: list[str]) -> int:
    """The command, which tells bad input in a line and ends with status 2."""
    return exit_status(probe_command, args)
