"""`stylegan2 ablate`: trains with one scaling switched off at a time, or with several values of a constant."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import torch
import yaml
from jsonargparse import Namespace

from stylegan2.ablation.looks import detection, expectation, run_looks
from stylegan2.ablation.plan.measures import options_at_the_end
from stylegan2.ablation.plan.options import AblationOptions
from stylegan2.ablation.plan.study import (
    CYCLE,
    Study,
    load_study,
    longest_runs,
    parse_duration,
    training_seconds,
)
from stylegan2.ablation.plan.variants import DEFAULT, Variant, ablations, effective, sweep
from stylegan2.ablation.run import many
from stylegan2.ablation.statistics.controls import dunnett_seeds
from stylegan2.cli import (
    build_data,
    build_model,
    function_command,
    select,
    train_parser,
    with_default_config,
)
from stylegan2.errors import InputError
from stylegan2.parsing import Parser
from stylegan2.tools.design import run_design
from stylegan2.training.options import RunOptions

if TYPE_CHECKING:
    from stylegan2.training.module import StyleGAN2


def make_ablate_parser(prog: str = "stylegan2 ablate") -> Parser:
    """Make the parser of all options of training and those of a study."""
    parser = train_parser(prog)
    parser.description = (
        "Train the configuration as it is and with one change at a time, with several seeds, and report the "
        "effect of each change in report.html and report.md. --fields switches scalings off. --field with "
        "--values tries several values of one constant. All options of training can be given too. The default "
        "--config is the demo. With --design range or --design transfer, small networks are trained with many values "
        f"of a hyperparameter instead, which has options of its own: {prog} --design range --help."
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
    if any(arg.partition("=")[0] == "--design" for arg in args):
        return function_command(run_design, prog)(args)
    parser = make_ablate_parser(prog)
    config = parser.parse_args(with_default_config(args))
    options = AblationOptions(**{f.name: config.pop(f.name) for f in dataclasses.fields(AblationOptions)})
    if options.report_only:
        return _report(load_study(Path(options.out)))
    if options.detect:
        pilot, planned = (
            load_study(Path(options.out)),
            ablations(options.fields) if options.fields else [],
        )
        print(detection(pilot, options.detect, options.power, options.parallel, planned))
        return 0

    names = dict.fromkeys([options.metric, *config.metrics.names])
    config.metrics.names, config.metrics.images = list(names), options.images
    parsed = parser.instantiate(config)
    parsed.metrics.load_extractor()
    model = _check_base(parsed)
    base = _base(config)
    variants = (
        sweep(options.field, options.values)
        if options.field and options.values is not None
        else ablations(options.fields or "all")
    )
    variants = effective(variants, yaml.safe_load(base))
    compared = sum(variant.control == DEFAULT for variant in variants)
    study = Study(
        out=Path(options.out),
        variants=variants,
        seeds=options.seeds,
        control_seeds=options.control_seeds or dunnett_seeds(options.seeds, compared),
        primary=options.primary,
        features=options.chosen_features if options.final_images else None,
        final_images=options.final_images,
        kimg=config.kimg,
        images=options.images,
        metric=options.metric,
        until=options.until,
        margin=options.margin,
    )
    if study.features:
        options_at_the_end(study).load_extractor()
    _warn_of_an_unplanned_look(study)
    if options.budget:
        seconds = parse_duration(options.budget)
        study = _fit_to_budget(study, options, seconds, parsed.batch, base)
    elif options.engine == "processes" and not options.yes:
        _check_duration(study, model, parsed.accelerator)
    study.save(base)
    study.check()
    where = "on this machine" if options.engine == "processes" else f"through {options.engine}"
    done = sum(map(study.is_done, study.runs))
    print(
        f"{len(study.variants)} variants × {study.seeds} seeds"
        f"{f' and {more} more of the default' if (more := study.seeds_of(DEFAULT) - study.seeds) else ''} = "
        f"{len(study.runs)} runs of {study.kimg:g} kimg, {options.parallel} in parallel, {where}; {done} done. "
        f"Folder {study.out}",
        flush=True,
    )
    if options.budget:
        print(expectation(study), flush=True)
    stopped = run_looks(study, _engine(study, options), options.parallel)
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


def _check_base(parsed: Namespace) -> StyleGAN2:
    """Build data and networks of the base configuration, so that an error appears before any run starts.

    Raises:
        InputError: The base configuration cannot be trained.
    """
    options = select(parsed, RunOptions)
    dataset = build_data(parsed).open(minimum=options.batch)
    return build_model(parsed, dataset, options.batch, options.batch_per_device)


def _check_duration(study: Study, model: StyleGAN2, accelerator: str) -> None:
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


def _warn_of_an_unplanned_look(study: Study) -> None:
    """Say that seeds are added to a study that ended, whose result one may have seen."""
    if study.until == "decided" or not (study.out / "study.json").is_file():
        return
    before = load_study(study.out)
    if before.seeds < study.seeds and all(map(before.is_done, before.runs)):
        print(
            f"Seeds are added to a study that ended with {before.seeds}. If its verdicts were the reason, an error "
            "is more probable than the 5 % of the report. --until decided plans such looks, in a new folder."
        )


def _engine(study: Study, options: AblationOptions) -> many.Engine:
    if options.engine == "slurm":
        return many.slurm(study, options.slurm)
    return many.processes(study, options.parallel)


def _fit_to_budget(study: Study, options: AblationOptions, seconds: float, batch: int, base: str) -> Study:
    """The study with the longest runs that fit into these seconds, or as long as those of a study in the folder.

    The speed is measured in a short study of the base configuration, with the same number of parallel runs.

    Raises:
        InputError: The budget is too short, or the base configuration cannot be trained.
    """
    if (study.out / "study.json").is_file():
        return replace(study, kimg=load_study(study.out).kimg)
    print("Measuring the speed ...", flush=True)
    out, variants = study.out / "speed", [Variant(name=DEFAULT)]
    kimg, parallel = 4 * CYCLE * batch / 1000, options.parallel
    trial = replace(study, out=out, variants=variants, seeds=parallel, control_seeds=None, kimg=kimg)
    shutil.rmtree(out, ignore_errors=True)
    trial.save(base)
    start = time.perf_counter()
    many.run_all(trial, _engine(trial, options), parallel, progress=False)
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
    from stylegan2.ablation.report.page import write_report

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
