"""`stylegan2 ablate`: trains with one scaling switched off at a time, or with several values of a constant."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Literal

import torch
import yaml
from jsonargparse import Namespace
from torch import nn

from stylegan2.ablation import plan, run
from stylegan2.ablation.study import CYCLE, Study, load_study, longest_runs, parse_duration, training_seconds
from stylegan2.cli import build_data, build_model, select, train_parser, with_default_config
from stylegan2.errors import InputError
from stylegan2.metrics import metrics
from stylegan2.metrics.comparison import FeatureMetric
from stylegan2.parsing import Parser
from stylegan2.registry import check_choices
from stylegan2.training.options import RunOptions


@dataclass(frozen=True, kw_only=True)
class AblationOptions:
    """What a study compares, and how it runs.

    Raises:
        InputError: A number is out of range, or the options contradict each other.
    """

    out: str = "ablation"
    """Folder of the study. The same command continues the study that is there."""

    fields: str | None = None
    """Scalings to switch off: all, or names such as residual_gain,noise (files of configs/ablations, or your own
    YAML files). null: all, unless --field is given."""

    field: str | None = None
    """A constant to try at several --values, such as residual_gain or r1.gamma. It replaces --fields."""

    values: str | None = None
    """The values of --field, such as 0.5,0.6,0.7071,0.85,1."""

    seeds: int = 3
    """Number of runs of each variant, with seeds 0, 1, ..."""

    budget: str | None = None
    """Time for all runs, such as 2h. The speed is measured, and kimg follows from it. null: --kimg is used."""

    metric: str = "random_frechet"
    """Quality distance: a registered metric on images that is positive, and lower for better ones."""

    images: int = 2000
    """Number of generated images for the quality distance."""

    parallel: int = 1
    """Number of runs at the same time."""

    engine: Literal["processes", "slurm"] = "processes"
    """Where to run: processes on this machine, or slurm jobs (which need the package submitit)."""

    slurm: dict[str, str | int] = dataclasses.field(default_factory=dict)
    """Parameters of submitit, such as {slurm_partition: gpu, timeout_min: 240, gpus_per_node: 1}."""

    yes: bool = False
    """Run the study although it takes more than an hour by the estimate."""

    report_only: bool = False
    """Do not run anything. Only write the report of the runs that are in the folder."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("seeds", "parallel"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"Expected --{name} of 1 or more, found {getattr(self, name)}. Give 1 or more."
                )
        if self.images < 2:
            raise InputError(f"Expected --images of 2 or more, found {self.images}. Try 2000.")
        if isinstance(metrics[self.metric], FeatureMetric):
            raise InputError(
                f"Expected --metric of a metric on images, such as random_frechet, found {self.metric}, which needs "
                "a feature network. --metrics.names measures it beside the quality distance."
            )
        if (self.field is None) != (self.values is None) or (self.field and self.fields):
            raise InputError(
                "Expected either --fields, or both --field and --values, found "
                f"--fields {self.fields}, --field {self.field}, --values {self.values}. Give one or the other."
            )


def make_ablate_parser(prog: str = "stylegan2 ablate") -> Parser:
    """Make the parser of all options of training and those of a study."""
    parser = train_parser(prog)
    parser.description = (
        "Train the configuration as it is and with one change at a time, with several seeds, and report the "
        "effect of each change in report.html and report.md. --fields switches scalings off. --field with "
        "--values tries several values of one constant. All options of training can be given too. The default "
        "--config is the demo."
    )
    parser.add_class_arguments(AblationOptions)
    return parser


def ablate_command(args: list[str], prog: str = "stylegan2 ablate") -> int:
    """Plan or continue a study, run it, and write its report.

    Returns:
        The exit status: 0 if all runs finished or diverged, 1 if some failed, 128 + signal if the study was
        stopped.

    Raises:
        InputError: The options do not fit together, or the study cannot run.
    """
    parser = make_ablate_parser(prog)
    config = parser.parse_args(with_default_config(args))
    options = AblationOptions(**{f.name: config.pop(f.name) for f in dataclasses.fields(AblationOptions)})
    if options.report_only:
        return _report(load_study(Path(options.out)))

    names = dict.fromkeys([options.metric, *config.metrics.names])
    config.metrics.names, config.metrics.images = list(names), options.images
    parsed = parser.instantiate(config)
    parsed.metrics.load_extractor()
    model = _check_base(parsed)
    base = _base(config)
    variants = (
        plan.sweep(options.field, options.values)
        if options.field
        else plan.ablations(options.fields or "all")
    )
    study = Study(
        out=Path(options.out),
        variants=plan.effective(variants, yaml.safe_load(base)),
        seeds=options.seeds,
        kimg=config.kimg,
        images=options.images,
        metric=options.metric,
    )
    if options.budget:
        study = _fit_to_budget(study, options, parsed.batch, base)
    elif options.engine == "processes" and not options.yes:
        _check_duration(study, model, parsed.accelerator)
    study.save(base)
    study.check()
    where = "on this machine" if options.engine == "processes" else f"through {options.engine}"
    done = sum(map(study.is_done, study.runs))
    print(
        f"{len(study.variants)} variants × {study.seeds} seeds = {len(study.runs)} runs of "
        f"{study.kimg:g} kimg, {options.parallel} in parallel, {where}; {done} done. Folder {study.out}",
        flush=True,
    )
    stopped = run.run_all(study, _engine(study, options), options.parallel)
    status = _report(study)
    if stopped:
        print(f"Stopped. To resume: {prog} {shlex.join(args)}")
        return 128 + stopped
    return status


def _base(config: Namespace) -> str:
    """The configuration as YAML text, with the options that a study sets itself at their defaults.

    The texts of two studies can therefore be compared.
    """
    parser, config = train_parser(), config.clone()
    for name in ("name", "ckpt_path", "runs", "seed", "kimg"):
        config[name] = parser.get_default(name)
    # Loading and dumping gives equal configurations equal texts.
    dumped = yaml.safe_load(parser.dump(config, skip_unset=False))
    return yaml.safe_dump(dumped, sort_keys=False, allow_unicode=True)


def _check_base(parsed: Namespace) -> nn.Module:
    """Build data and networks of the base configuration, so that an error appears before any run starts.

    Raises:
        InputError: The base configuration cannot be trained.
    """
    options = select(parsed, RunOptions)
    dataset = build_data(parsed).open(minimum=options.batch)
    return build_model(parsed, dataset, options.batch, options.batch_per_device)


def _check_duration(study: Study, model: nn.Module, accelerator: str) -> None:
    """Refuse a study of more than an hour that nobody has confirmed.

    Raises:
        InputError: It names the estimate and what makes the study shorter.
    """
    from stylegan2.training import cost

    use_gpu = torch.cuda.is_available() and accelerator != "cpu"
    runs = [run for run in study.runs if not study.is_done(run)]
    seconds = len(runs) * cost.training_seconds(model, study.kimg, torch.device("cuda" if use_gpu else "cpu"))
    if seconds > cost.HOUR:
        raise InputError(
            f"{len(runs)} runs of {study.kimg:g} kimg take roughly {cost.duration(seconds)} on this machine. Confirm "
            "this with --yes, or give a time for all runs (--budget 2h), fewer --fields or --seeds, or fewer --kimg."
        )


def _engine(study: Study, options: AblationOptions) -> run.Engine:
    if options.engine == "slurm":
        return run.slurm(study, options.slurm)
    return run.processes(study, options.parallel)


def _fit_to_budget(study: Study, options: AblationOptions, batch: int, base: str) -> Study:
    """The study with the longest runs that the budget allows, or as long as those of a study in the folder.

    The speed is measured in a short study of the base configuration, with the same number of parallel runs.

    Raises:
        InputError: The budget is too short, or the base configuration cannot be trained.
    """
    seconds = parse_duration(options.budget)
    if (study.out / "study.json").is_file():
        return replace(study, kimg=load_study(study.out).kimg)
    print("Measuring the speed ...", flush=True)
    out, variants = study.out / "speed", [plan.Variant(name=plan.DEFAULT)]
    kimg, parallel = 4 * CYCLE * batch / 1000, options.parallel
    trial = replace(study, out=out, variants=variants, seeds=parallel, kimg=kimg)
    shutil.rmtree(out, ignore_errors=True)
    trial.save(base)
    start = time.perf_counter()
    run.run_all(trial, _engine(trial, options), parallel, progress=False)
    wall = time.perf_counter() - start
    for each in trial.runs:
        result = trial.result(each)
        if result is None or result.status != "finished":
            why = result.why if result else "it was stopped"
            raise InputError(
                f"The base configuration cannot be trained: {why}. See {trial.log(each)} and correct it."
            )
    training = fmean(training_seconds(trial.numbers(each)) for each in trial.runs)
    per_kimg, overhead = training / kimg, max(wall - training, 0.0)
    shutil.rmtree(out)
    longest = longest_runs(seconds, -(-len(study.runs) // parallel), batch, per_kimg, overhead)
    print(
        f"Training takes {per_kimg:.3g} s per kimg, and each run takes {overhead:.3g} s besides. "
        f"The budget allows {longest:g} kimg per run."
    )
    return replace(study, kimg=longest)


def _report(study: Study) -> int:
    """Write the report and print where it is. Returns 1 if runs failed, else 0."""
    from stylegan2.ablation.report import write_report

    path = write_report(study)
    results = {each: result for each in study.runs if (result := study.result(each))}
    failed = [each for each, result in results.items() if result.status == "failed"]
    diverged = sum(result.status == "diverged" for result in results.values())
    print(
        f"{len(results)} of {len(study.runs)} runs have ended, {diverged} diverged, {len(failed)} failed.\n"
        f"Report     {shlex.quote(str(path))}"
    )
    for each in failed:
        print(f"Failed     {each.name}: {results[each].why} (log: {shlex.quote(str(study.log(each)))})")
    return 1 if failed else 0
