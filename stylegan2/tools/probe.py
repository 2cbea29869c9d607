"""`stylegan2 probe`: measures what every layer does to signal, gradient and step size, and reports faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jsonargparse import Namespace
from torch import Tensor

from stylegan2.ablation.plan.variants import leaves, shipped_overlays
from stylegan2.cli import (
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
from stylegan2.parsing import Parser
from stylegan2.probing.measure.networks import probe_model
from stylegan2.probing.options import ProbeOptions
from stylegan2.probing.rules.networks import Finding, fault
from stylegan2.probing.rules.predictions import PREDICTIONS, check_theory, path_length_by_resolution
from stylegan2.sizes import text
from stylegan2.training.options import RunOptions

if TYPE_CHECKING:
    from stylegan2.probing.report import Variant
    from stylegan2.training.module import StyleGAN2


def ablation_options() -> dict[str, dict[str, object]]:
    """The option below `model` that each shipped ablation changes, by a name such as residual_gain=1.

    Only the first option of an overlay is used. Any others are training conditions of `stylegan2 ablate`.
    Ablations are in the order of the predictions.
    """
    found: dict[str, dict[str, object]] = {}
    for overlay in shipped_overlays().values():
        key, value = next(leaves(overlay["model"]))
        text = value if isinstance(value, str) else json.dumps(value)
        found[f"{key.removeprefix('scalings.')}={text}"] = {key: value}
    return {name: found[name] for name in dict.fromkeys([*PREDICTIONS, *found]) if name in found}


def chosen_ablations(wanted: str) -> dict[str, dict[str, object]]:
    """The ablations that `--variants` asks for: names to the options that they change.

    Raises:
        InputError: A name is not that of an ablation.
    """
    every = ablation_options()
    if wanted in ("all", "none"):
        return every if wanted == "all" else {}
    found: dict[str, dict[str, object]] = {}
    for name in wanted.split(","):
        matches = [a for a in every if name in (a, a.split("=")[0], a.split("=")[0].split(".")[-1])]
        if not matches:
            raise InputError(
                f"Expected --variants of all, none or a scaling, found {name}. Choose from {', '.join(every)}."
            )
        found |= {match: every[match] for match in matches}
    return found


class Builder:
    """Builds and probes the configured networks and their variants, on one data set and one device."""

    def __init__(self, parser: Parser, args: list[str]):
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
        """Networks and losses from a seed. `overrides` replaces options below `model`."""
        torch.manual_seed(seed)
        model = build_model(self._parse(overrides), self.dataset, self.run.batch, self.run.batch_per_device)
        return model.to(self.device)

    def batch(self, model: StyleGAN2) -> tuple[Tensor, Tensor]:
        """Real images (n, C, R, R) in [-1, 1] and their labels (n, num_classes).

        n is 8 up to 128², 4 at 256² and 2 above, rounded to whole minibatch-stddev groups.
        """
        resolution = model.generator.resolution
        n = 8 if resolution <= 128 else 4 if resolution <= 256 else 2
        n = n - n % (model.discriminator.minibatch_group or 1) or n
        self.dataset.require(n)
        sampler = InfiniteSampler(len(self.dataset), batch=n, seed=self.run.seed)
        images, labels = self.dataset[next(iter(sampler))]
        return to_float(images).to(self.device), labels.to(self.device)

    def train(self, model: StyleGAN2) -> str | None:
        """Train the model in place for `--iterations` iterations.

        Returns:
            None, or the message of `Diverged` if a loss became NaN or infinite.
        """
        from stylegan2.training.divergence import Diverged

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
        """Measure the model at its start and, with `--iterations`, again after training."""
        from stylegan2.probing.report import Variant

        reals, labels = self.batch(model)
        start, diverged, after = probe_model(model, reals, labels, self.run.seed, progress=True), None, None
        if self.options.iterations:
            diverged = self.train(model)
            if not diverged:
                after = probe_model(model, reals, labels, self.run.seed, progress=True)
        return Variant(name=name, start=start, diverged=diverged, after=after)


def _checkpoint_config(args: list[str]) -> list[str]:
    """The arguments with the config.yaml of the checkpoint's run put first, unless they contain --config."""
    split = [part for arg in args for part in (arg.split("=", 1) if arg.startswith("--") else [arg])]
    options = dict(zip(split, split[1:]))
    if "--config" in options or "--checkpoint" not in options:
        return with_default_config(args)
    config = Path(options["--checkpoint"]).parent.parent / "config.yaml"
    if not config.is_file():
        native.read(options["--checkpoint"])  # raises a better message if the checkpoint does not exist
        raise InputError(
            f"Expected the configuration of the run at {config}, found no such file. Give it with --config."
        )
    return with_default_config(["--config", str(config), *args])


def load(model: StyleGAN2, path: str) -> list[Finding]:
    """Load a checkpoint into the model.

    Returns:
        A fault if the checkpoint lacks something that resuming needs, or an empty list.

    Raises:
        InputError: The file is not a checkpoint of training, or its networks or classes differ from the
            configuration.
    """
    from stylegan2.training.checkpoint import read_matching

    contents = read_matching(path, model)
    missing, _ = model.load_state_dict(contents["state_dict"], strict=False)
    if any(not name.startswith(("generator_ema.", "path_length_mean")) for name in missing):
        raise InputError(f"{path} lacks {', '.join(missing[:3])}. Give a checkpoint that training wrote.")
    state = contents[native.KEY]
    model.iteration, model.images = state["iteration"], state["images"]
    return checkpoint_findings(contents, missing)


def checkpoint_findings(contents: Mapping[str, Any], missing: list[str]) -> list[Finding]:
    """A fault if a checkpoint lacks something that resuming needs, or an empty list.

    Args:
        contents: The contents of the checkpoint.
        missing: Names of the tensors of the model that the checkpoint does not hold.
    """
    lacks = {
        "the generator EMA": any(name.startswith("generator_ema.") for name in missing),
        "the path length's mean": "path_length_mean" in missing,
        "the optimizers' state": [bool(s.get("state")) for s in contents.get("optimizer_states", [])]
        != [True, True],
    }
    found = " and ".join(what for what, lacking in lacks.items() if lacking)
    text = f"the checkpoint lacks {found}, so a resumed run would differ from an uninterrupted one"
    return [fault("checkpoint incomplete", text)] if found else []


def make_probe_parser(prog: str = "stylegan2 probe") -> Parser:
    """The parser of `stylegan2 probe`: its own options and, because a config.yaml holds them, all of training."""
    parser = train_parser(prog)
    parser.description = (
        "Measure on real images what every layer of the generator and the discriminator does to signal, gradient "
        "and step size. Compare variants and theory with it, and report faults with their likely cause. All "
        "options of train.py can be given too. Exit status: 0 without a fault, 1 with a fault, 2 for bad input."
    )
    parser.add_class_arguments(ProbeOptions)
    return parser


def probe_command(args: list[str], prog: str = "stylegan2 probe") -> int:
    """Probe the configured networks or a checkpoint: `stylegan2 probe`. Returns the exit status."""
    builder = Builder(make_probe_parser(prog), _checkpoint_config(args))

    # Imported here, so that --help need not import matplotlib.
    from stylegan2.probing.report import diagnosis, write_report

    options, seed = builder.options, builder.run.seed
    chosen = chosen_ablations(options.variants)
    model = builder.build({}, seed)
    extra = load(model, options.checkpoint) if options.checkpoint else []
    config, resolution = model.generator.config, model.generator.resolution

    what = options.checkpoint or "fresh networks"
    heading = f"{what}, {text(model.generator.image_size)}, {builder.data.path}, seed {seed}"
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
        # Up to 128×128, or to the last resolution at which a small network has a feature map.
        largest = min(max(resolution, 128), config.channel_base)
        resolutions = [2**i for i in range(4, largest.bit_length())] or [resolution]
        lengths = path_length_by_resolution(config, model.generator.scalings, resolutions, seeds)
    out = Path(options.out)
    write_report(out, variants, predictions, lengths, findings, heading)
    print(f"Report     {out / 'probe.md'}\nNumbers    {out / 'probe.json'}")
    return int(any(f.fault for f in findings))


def main(args: list[str]) -> int:
    """Run the command. Bad input prints one line and gives exit status 2."""
    return exit_status(probe_command, args)
