"""What every layer does to signal, gradient and step size: measured, explained, diagnosed in one command."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from jsonargparse import Namespace
from torch import Tensor

from stylegan2.cli import (
    add_model_options,
    build_data,
    build_model,
    exit_status,
    make_parser,
    with_default_config,
)
from stylegan2.data.dataset import InfiniteSampler, to_float
from stylegan2.errors import InputError
from stylegan2.probing.claims import ABLATIONS
from stylegan2.probing.diagnose import checkpoint_findings, examine
from stylegan2.probing.findings import Finding
from stylegan2.probing.rehearse import rehearse
from stylegan2.probing.report import Variant, diagnosis, write_report
from stylegan2.probing.theory import check_theory, path_length_by_resolution
from stylegan2.training import checkpoint
from stylegan2.training.module import StyleGAN2
from stylegan2.training.run import RunOptions


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """What to probe, beside data and model."""

    out: str
    """Folder to write probe.json, probe.md and the plots to."""

    checkpoint: str | None = None
    """Checkpoint to probe; its run's config.yaml is found beside it. null: fresh networks."""

    iterations: int = 0
    """Also probe after so many iterations of real training; from 17 on the penalties' intervals show."""

    variants: str = "all"
    """Scalings to switch off, one at a time, and put beside the configuration, with commas between them:
    names such as residual_gain or weight_scaling=none; or all; or none."""

    theory_seeds: int = 3
    """Networks that each prediction is measured on. 0: leave predictions out."""

    def __post_init__(self):
        for name in ("iterations", "theory_seeds"):
            if getattr(self, name) < 0:
                raise InputError(
                    f"Expected --{name} of 0 or more, found {getattr(self, name)}. Give 0 to leave it out."
                )


def ablation_names(wanted: str) -> list[str]:
    """The ablations that `--variants` asks for.

    Raises:
        InputError: A name that is none.
    """
    if wanted in ("all", "none"):
        return list(ABLATIONS) if wanted == "all" else []
    found = []
    for name in wanted.split(","):
        matches = [a for a in ABLATIONS if name in (a, a.split("=")[0], a.split("=")[0].split(".")[-1])]
        if not matches:
            raise InputError(
                f"Expected --variants of all, none or a scaling, found {name}. "
                f"Choose from {', '.join(ABLATIONS)}."
            )
        found += matches
    return list(dict.fromkeys(found))


class Bench:
    """Builds the configured networks and their variants, on one data set and one device."""

    def __init__(self, parser, args: list[str]):
        self.parser, self.args = parser, args
        config = self._parse({})
        self.run = _options(RunOptions, config)
        self.probe = _options(ProbeOptions, config)
        self.data = build_data(config)
        self.device = "cuda" if self.run.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
        self.dataset = self.data.open(minimum=1)

    def _parse(self, overrides: dict) -> Namespace:
        values = {k: v if isinstance(v, str) else json.dumps(v) for k, v in overrides.items()}
        extra = [f"--model.{name}={value}" for name, value in values.items()]
        return self.parser.instantiate(self.parser.parse_args([*self.args, *extra]))

    def build(self, overrides: dict, seed: int) -> StyleGAN2:
        torch.manual_seed(seed)
        model = build_model(self._parse(overrides), self.dataset, self.run.batch, self.run.batch_per_device)
        return model.to(self.device)

    def batch(self, model: StyleGAN2) -> tuple[Tensor, Tensor]:
        """8 real images, fewer where they are large, in whole minibatch-stddev groups; and their labels."""
        resolution = model.generator.resolution
        n = 8 if resolution <= 128 else 4 if resolution <= 256 else 2
        n = n - n % (model.discriminator.minibatch_group or 1) or n
        self.data.open(minimum=n)
        sampler = InfiniteSampler(len(self.dataset), batch=n, seed=self.run.seed)
        images, labels = self.dataset[next(iter(sampler))]
        return to_float(images).to(self.device), labels.to(self.device)


def _options(kind: type, config: Namespace):
    return kind(**{f.name: config[f.name] for f in fields(kind)})


def _checkpoint_config(args: list[str]) -> list[str]:
    """The arguments, headed by the config.yaml of the checkpoint's run, unless they name a configuration."""
    split = [part for arg in args for part in (arg.split("=", 1) if arg.startswith("--") else [arg])]
    options = dict(zip(split, split[1:]))
    if "--config" in options or "--checkpoint" not in options:
        return with_default_config(args)
    config = Path(options["--checkpoint"]).parent.parent / "config.yaml"
    if not config.is_file():
        checkpoint.read(options["--checkpoint"])
        raise InputError(
            f"Expected the run's configuration at {config}, found no such file. Give it by --config."
        )
    return ["--config", str(config), *args]


def _load(model: StyleGAN2, path: str) -> list[Finding]:
    contents = checkpoint.read(path)
    checkpoint.check_same(path, model)
    found = checkpoint_findings(contents)
    missing, _ = model.load_state_dict(contents["state_dict"], strict=False)
    if any(not name.startswith(("average.", "path_length_mean")) for name in missing):
        raise InputError(f"{path} lacks {', '.join(missing[:3])}. Give a checkpoint that training wrote.")
    state = contents[checkpoint.KEY]
    model.iteration, model.images = state["iteration"], state["images"]
    return found


def _examine_variant(bench: Bench, name: str, model: StyleGAN2) -> Variant:
    options, seed = bench.probe, bench.run.seed
    reals, labels = bench.batch(model)
    start = examine(model, reals, labels, seed, progress=True)
    if not options.iterations:
        return Variant(name=name, start=start)
    bench.data.open(minimum=bench.run.batch)
    seen = rehearse(model, bench.data, options.iterations, seed, bench.run.accelerator)
    after = None if seen.diverged else examine(model, reals, labels, seed, seen, progress=True)
    return Variant(name=name, start=start, rehearsal=seen, after=after)


def make_probe_parser(prog: str = "stylegan2 probe"):
    parser = make_parser(
        prog,
        "Measure what every layer of a generator, a discriminator and their losses does to signal, gradient "
        "and step size on real images; put variants and theory beside it; say in plain words what is wrong. "
        "Takes the options of train.py. Exit status: 0 no fault, 1 a fault, 2 bad input.",
    )
    parser.add_class_arguments(ProbeOptions)
    parser.add_class_arguments(RunOptions)
    add_model_options(parser)
    return parser


def probe_command(args: list[str], prog: str = "stylegan2 probe") -> int:
    """Probe the configured networks or a checkpoint: `stylegan2 probe`. Returns the exit status."""
    bench = Bench(make_probe_parser(prog), _checkpoint_config(args))
    options, seed = bench.probe, bench.run.seed
    names = ablation_names(options.variants)
    model = bench.build({}, seed)
    extra = _load(model, options.checkpoint) if options.checkpoint else []
    reals, labels = bench.batch(model)
    config = model.generator.config

    what = options.checkpoint or "fresh networks"
    heading = f"{what}, {config['resolution']}×{config['resolution']}, {bench.data.path}, seed {seed}"
    print(f"Probing {heading}", flush=True)
    base = _examine_variant(bench, "as configured", model)
    findings = [*extra, *base.findings]
    print(diagnosis(findings), flush=True)
    variants = [base]
    for name in names:
        print(f"Variant {name}", flush=True)
        variants.append(_examine_variant(bench, name, bench.build(ABLATIONS[name], seed)))
    claims, lengths = [], []
    if options.theory_seeds:
        seeds = range(seed, seed + options.theory_seeds)
        print(f"Theory and measurement over {options.theory_seeds} seeds", flush=True)
        claims = check_theory(bench.build, reals, labels, names, seeds)
        resolutions = [2**i for i in range(4, max(config["resolution"], 128).bit_length())]
        lengths = path_length_by_resolution(config, resolutions, seeds)
    out = Path(options.out)
    write_report(out, variants, claims, lengths, findings, heading)
    print(f"Report     {out / 'probe.md'}\nNumbers    {out / 'probe.json'}")
    return int(any(f.fault for f in findings))


def main(args: list[str]) -> int:
    """The command, with bad input told in a line and status 2."""
    return exit_status(probe_command, args)
