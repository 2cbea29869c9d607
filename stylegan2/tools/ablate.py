"""`stylegan2 ablate`: train with each scaling switched off, or with a constant at several values."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import yaml
from jsonargparse import Namespace

from stylegan2.ablation import budget as budgets
from stylegan2.ablation import variants as kinds
from stylegan2.ablation.job import check
from stylegan2.ablation.report import write_report
from stylegan2.ablation.schedule import Engine, EngineName, Processes, Submitit, work_off
from stylegan2.ablation.study import Study, load
from stylegan2.cli import build_data, build_model, train_parser, with_default_config
from stylegan2.errors import InputError
from stylegan2.training.run import RunOptions

DECIDED = ("name", "runs", "ckpt_path", "seed")
"""Options of train.py that a study sets itself."""


@dataclass(frozen=True, kw_only=True)
class AblationOptions:
    """What is compared, and how it is run."""

    out: str = "ablation"
    """Folder for everything. The same command goes on with what is there."""

    fields: str | None = None
    """What to switch off: all, or names such as residual_gain,noise (files of configs/ablations, or your own
    YAML files). null: all, unless --field is given."""

    field: str | None = None
    """Instead: one constant to try several values of, such as residual_gain or r1.gamma."""

    values: str | None = None
    """With --field: its values, such as 0.5,0.6,0.7071,0.85,1."""

    seeds: int = 3
    """Runs of each, with seeds 0, 1, ..."""

    budget: str | None = None
    """Time for all runs, such as 2h: sets kimg by a measured speed. null: kimg decides."""

    images: int = 2000
    """Generated images that quality is measured on."""

    parallel: int = 1
    """Runs at once."""

    engine: EngineName = "processes"
    """processes of this machine, or slurm (needs the package submitit)."""

    slurm: dict[str, str | int] = dataclasses.field(default_factory=dict)
    """submitit's parameters, such as {slurm_partition: gpu, timeout_min: 240, gpus_per_node: 1}."""

    report_only: bool = False
    """Run nothing: write the report of what is there."""

    def __post_init__(self):
        for name in ("seeds", "parallel"):
            if getattr(self, name) < 1:
                raise InputError(f"Expected --{name} of 1 or more, found {getattr(self, name)}.")
        if self.images < 2:
            raise InputError(f"Expected --images of 2 or more, found {self.images}. Try 2000.")
        if (self.field is None) != (self.values is None) or (self.field and self.fields):
            raise InputError(
                "Expected either --fields, or both --field and --values, found "
                f"fields {self.fields}, field {self.field}, values {self.values}. Give one of the two."
            )


def ablate_command(args: list[str], prog: str = "stylegan2 ablate") -> int:
    """Ablate: exit status 0, 1 if runs failed (other than by diverging), 128 + signal if stopped."""
    parser = train_parser(prog)
    parser.description = (
        "Train the configuration as it is and with one thing changed at a time, with several seeds, and "
        "say what each scaling is good for, in report.html and report.md. --fields switches scalings "
        "off, --field with --values tries numbers. All options of training can be given too. Default "
        "--config: the demo."
    )
    parser.add_class_arguments(AblationOptions)
    config = parser.parse_args(with_default_config(args))
    options = AblationOptions(**{f.name: config.pop(f.name) for f in dataclasses.fields(AblationOptions)})
    out = Path(options.out)
    if options.report_only:
        return _report(_existing(out))

    parsed = parser.instantiate(config)
    _check_base(parsed)
    for name in DECIDED:
        config[name] = None if name in ("name", "ckpt_path") else parser.get_default(name)
    kimg, config.kimg = config.kimg, 0.001  # the study's own; so that the rest can be compared
    study = Study(
        out=out,
        variants=kinds.sweep(options.field, options.values)
        if options.field
        else kinds.ablations(options.fields or "all"),
        seeds=options.seeds,
        kimg=kimg,
        images=options.images,
    )
    base = _plain(train_parser().dump(config, skip_unset=False))
    study = replace(study, variants=_without_effect(study, yaml.safe_load(base)))
    engine = partial(_engine, options=options)
    if options.budget:
        study = _within(study, options, engine, parsed.batch, base)
    study.save(base)
    check(study)
    place = "here" if options.engine == "processes" else f"through {options.engine}"
    done = sum(map(study.done, study.runs))
    print(
        f"{len(study.variants)} variants × {study.seeds} seeds = {len(study.runs)} runs of "
        f"{study.kimg:g} kimg, {options.parallel} at once, {place}; {done} done. Folder {out}",
        flush=True,
    )
    stopped = work_off(study, engine(study), options.parallel)
    status = _report(study)
    if stopped:
        print(f"Stopped. To go on: {prog} {shlex.join(args)}")
        return 128 + stopped
    return status


def _check_base(parsed: Namespace) -> None:
    """Build everything that the base configuration describes, once, rather than fail in every run.

    Raises:
        InputError: It cannot be trained.
    """
    run = RunOptions(**{field.name: parsed[field.name] for field in dataclasses.fields(RunOptions)})
    build_model(parsed, build_data(parsed).open(minimum=run.batch), run.batch, run.batch_per_device)


def _engine(study: Study, options: AblationOptions) -> Engine:
    if options.engine == "slurm":
        return Submitit(study, options.slurm)
    return Processes(study, options.parallel)


def _existing(out: Path) -> Study:
    if not (out / "study.json").is_file():
        raise InputError(f"Expected a study in {out}, found no study.json. Give the --out it was made with.")
    return load(out)


def _plain(dumped: str) -> str:
    """The dump, sorted by nothing but itself: loading and dumping makes texts comparable."""
    return yaml.safe_dump(yaml.safe_load(dumped), sort_keys=False, allow_unicode=True)


def _without_effect(study: Study, base: dict) -> list[kinds.Variant]:
    """The variants, less ablations of what the base configuration has switched off already.

    Raises:
        InputError: None is left, or a sweep's field is no option.
    """
    kept = []
    for variant in study.variants:
        *path, last = variant.key.split(".")
        parent = kinds.lookup(base, ".".join(path)) if path else base
        if variant.key and (not isinstance(parent, dict) or last not in parent):
            raise InputError(
                f"{variant.key} is no option of the configuration, so {variant.name} cannot be tried. "
                "See the names by --help."
            )
        value = kinds.lookup(variant.overlay, variant.key) if variant.key else None
        if variant.key and kinds.same(parent[last], value):
            print(f"{variant.name} is left out: the configuration has {variant.key}: {value} already.")
            continue
        kept.append(variant)
    if not kinds.tested(kept):
        raise InputError("Nothing is left to compare. Choose other --fields, or another --config.")
    return kept


def _within(study: Study, options: AblationOptions, engine, batch: int, base: str) -> Study:
    """The study with the kimg that a time budget allows; those of the study there, if there is one."""
    if (study.out / "study.json").is_file():
        return replace(study, kimg=load(study.out).kimg)
    seconds = budgets.parse_seconds(options.budget)
    print("Measuring the speed ...", flush=True)
    (study.out / "base.yaml").parent.mkdir(parents=True, exist_ok=True)
    study.base.write_text(base)
    speed = budgets.measure(study, engine, options.parallel, batch)
    kimg = speed.kimg(seconds, len(study.runs), options.parallel, batch)
    total = speed.seconds(len(study.runs), options.parallel, kimg)
    print(
        f"{speed.seconds_per_kimg:.3g} s a kimg and {speed.overhead:.3g} s a run beside training: "
        f"{kimg:g} kimg a run, about {total / 60:.0f} minutes in all."
    )
    return replace(study, kimg=kimg)


def _report(study: Study) -> int:
    """Write the report, say where; 1 if runs failed."""
    path = write_report(study)
    results = [study.result(run) for run in study.runs]
    failed = [run.name for run, result in zip(study.runs, results) if result and result.status == "failed"]
    diverged = sum(result is not None and result.status == "diverged" for result in results)
    print(
        f"{sum(r is not None for r in results)} of {len(results)} runs have ended, {diverged} diverged, "
        f"{len(failed)} failed.\nReport     {shlex.quote(str(path))}"
    )
    for name in failed:
        run = study.find(name)
        print(f"Failed     {name}: {study.result(run).why} (log: {shlex.quote(str(study.log(run)))})")
    return 1 if failed else 0
