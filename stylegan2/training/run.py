"""One training run: checks, callbacks, the Lightning trainer, and the messages at start and end."""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from stylegan2.data import ImageDataset
from stylegan2.errors import InputError
from stylegan2.files import class_table, remove_leftovers, write_text
from stylegan2.formats import native
from stylegan2.metrics.options import MetricOptions
from stylegan2.sizes import text
from stylegan2.threads import ThreadTuner, candidates

from . import checkpoint, cost, transfer
from .callbacks import LossLogger, Progress, TuneThreads
from .data import TrainingData, check_batch
from .distributed import is_loss_of_a_process
from .divergence import Diverged
from .draws import CommonDraws
from .evaluation import Evaluation
from .folder import LAST
from .launch import is_first_process, this_launch
from .loggers import finish_loggers, make_loggers
from .module import StyleGAN2
from .normalization import fill_reference
from .options import RunOptions
from .regularizers.r1 import R1
from .report import Report
from .samples import Samples
from .snapshots import Snapshots
from .stop import Stop
from .strategy import LeanDDP, cluster_environment


def train(
    model: StyleGAN2,
    dataset: ImageDataset,
    options: RunOptions,
    folder: Path,
    config: str,
    metrics: MetricOptions = MetricOptions(),  # noqa: B008 (frozen)
) -> int:
    """Train from the start or from a checkpoint, and print where the files are.

    Args:
        model: Networks, losses and optimizer settings.
        dataset: Images and labels.
        options: The options of the run.
        folder: The folder to write to, which no other process writes to (`folder.held_folder`).
        config: The merged configuration, as YAML text. It is written to config.yaml.
        metrics: The metrics that are measured during training.

    Returns:
        The exit status: 0 for a finished run, 1 for one that diverged or lost a process, 128 + signal for an
        interrupted run. It is 0 in processes that the first one started, which tells what happened.

    Raises:
        InputError: The model, the options and the checkpoint do not fit together, and nothing has been written; or
            images can no longer be read, and the state is saved.
    """
    resumed = folder / LAST if options.ckpt_path == "last" else options.ckpt_path
    done, held_out, seen = 0.0, [], None
    if resumed is not None:
        state = checkpoint.read_resumable(resumed, model)[native.KEY]
        done, held_out = state["images"] / 1000, state.get("held_out", [])
        seen = state.get("data", {}).get("digest")
        if done >= options.kimg:
            raise InputError(
                f"Expected --kimg above the {done:g} kimg of {resumed}, found {options.kimg:g}. Set a larger "
                "--kimg to continue."
            )
    transferred = ""
    if options.init_from:
        if resumed is None:
            transferred = f"\nFrom       {options.init_from}\n" + textwrap.indent(
                transfer.initialize(model, options.init_from, folder if this_launch().rank == 0 else None),
                " " * 11,
            )
        transfer.freeze(model.discriminator, options.freeze_d)
    if options.compile:
        model.compile_networks()
    data = TrainingData(dataset, model, options.seed, held_out)
    if resumed is None:
        fill_reference(model.discriminator, dataset, options.seed)
    if data.held_out and not held_out and seen == data.identity["digest"] and is_first_process():
        print(f"warning: {resumed} was trained on the images that are held out from now on.", file=sys.stderr)
    stop = Stop(options.kimg, data)
    samples = Samples(folder / "samples", options.sample_kimg, dataset, options.seed)
    # Lightning calls the callbacks in this order. Snapshots come after the callbacks that log and draw, so
    # that a checkpoint is written when their work for the iteration is done. Evaluation comes last: it takes
    # long, and it changes nothing that a checkpoint holds.
    callbacks = [
        checkpoint.CheckpointState(data),
        TuneThreads(_thread_tuner(options.threads)),
        LossLogger(options.log_kimg, dataset),
        Progress(options.kimg),
        cost.MeasuredDuration(options.kimg),
        stop,
        samples,
        Report(folder),
        Snapshots(
            folder / "checkpoints", options.snapshot_kimg, options.keep, next(iter(metrics.names), None)
        ),
        Evaluation(metrics, dataset, folder),
    ]
    _quiet()
    trainer = make_trainer(options, folder, callbacks)
    group = model.discriminator.minibatch_group if model.config.scalings.minibatch_stddev else None
    check_batch(model.batch, model.batch_per_device, trainer.world_size, group, dataset.num_images)
    trainer.loggers = make_loggers(options.loggers, folder)

    launch = this_launch()
    if launch.rank == 0:
        for part in ("checkpoints", "samples"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        write_text(folder / "config.yaml", config)
        print(_summary(model, options.kimg, dataset, folder, trainer) + transferred)
        for note in model.notes:
            print(textwrap.fill(f"Note       {note}", 110, subsequent_indent=" " * 11))
        print(cost.describe(model, options, dataset, trainer.strategy.root_device, folder, done), flush=True)
    seed = options.seed + 1000 * launch.rank
    torch.manual_seed(seed)
    model.draws = CommonDraws(seed, lambda: model.images)
    diverged = None
    try:
        with stop.signals(), _tf32(options.tf32):
            trainer.fit(model, data, ckpt_path=resumed, weights_only=True)
            trainer.strategy.barrier()  # whoever started the processes may kill all once one has ended
    except Diverged as error:
        diverged = error
    except RuntimeError as error:
        if not (isinstance(trainer.strategy, LeanDDP) and is_loss_of_a_process(error)):
            raise
        if launch.rank > 0 and launch.by == "the program":
            return 0  # the first process tells it
        print(f"\n{trainer.strategy.explain_loss()}", file=sys.stderr, flush=True)
        return 1
    finally:
        data.teardown("fit")
        finish_loggers(trainer.loggers, folder)
    if launch.rank > 0 and launch.by == "the program":
        return 0
    if diverged:
        if trainer.is_global_zero:
            kept = f"The last good checkpoint is {folder / LAST}." if (folder / LAST).exists() else ""
            print(f"\nStopped at {diverged}\n{kept}", file=sys.stderr)
        return 1
    if stop.failure and not stop.signal:
        raise InputError(
            f"Training stopped at {model.images / 1000:.1f} kimg, since its images can no longer be read: "
            f"{stop.failure} The state is saved in {folder / LAST}, from which --ckpt_path last continues."
        )
    if trainer.is_global_zero:
        with suppress(OSError):  # the terminal has closed
            print(_closing(model, dataset, folder, samples.path(model), stop.signal), flush=True)
    return 128 + stop.signal if stop.signal else 0


def _thread_tuner(threads: int | None) -> ThreadTuner | None:
    """Use the number of threads that the user wants. If that is open, return a tuner that chooses it."""
    if threads is not None:
        torch.set_num_threads(threads)
        return None
    return ThreadTuner(candidates())


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """Let GPUs compute in TF32 or not, until the block ends. PyTorch's default differs between its libraries."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def _quiet() -> None:
    """Silence Lightning's log messages and three of its warnings, which do not apply to this loop."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for about in (".*module.*in eval mode", ".*isinstance.treespec", ".*does not have many workers"):
        warnings.filterwarnings("ignore", message=about)


def make_trainer(options: RunOptions, folder: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    """A Lightning trainer without its own progress bar, loggers and checkpoints.

    Raises:
        InputError: The accelerator or the devices are not available, or torchrun or srun started another number of
            processes.
    """
    launch = this_launch()
    gpus = torch.cuda.device_count() if options.accelerator != "cpu" else 0
    auto = max(gpus, 1) if launch.by == "the program" else launch.per_machine
    devices = auto if options.devices == "auto" else options.devices
    # Lightning would guess the rank from more variables than it uses.
    rank_zero_only.rank = launch.rank  # type: ignore[attr-defined]
    processes = len(devices) if isinstance(devices, list) else devices
    if launch.by != "the program" and processes != launch.per_machine:
        raise InputError(
            f"devices is {options.devices}, but {launch.by} started {launch.per_machine} processes on each machine. "
            "Leave --devices out."
        )
    try:
        return pl.Trainer(
            accelerator=options.accelerator,
            devices=devices,
            num_nodes=launch.machines,
            strategy=LeanDDP(folder / LAST) if processes * launch.machines > 1 else "auto",
            plugins=cluster_environment(launch),
            default_root_dir=folder,  # elsewhere Lightning would find, and load, checkpoints of other jobs
            max_epochs=-1,
            logger=False,
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError, TypeError) as error:
        raise InputError(
            f"--accelerator {options.accelerator} with --devices {options.devices} is not available on this "
            f"machine: {error}. Try --accelerator auto --devices auto."
        ) from error


def _summary(model: StyleGAN2, kimg: float, dataset: ImageDataset, folder: Path, trainer: pl.Trainer) -> str:
    sizes = [
        f"{f'{n / 1e6:.1f} M' if n >= 1e6 else f'{n / 1e3:.1f} k'}"
        for n in (sum(p.numel() for p in net.parameters()) for net in (model.generator, model.discriminator))
    ]
    ema = model.config.ema
    average = f"EMA half-life {ema.half_life_at(model.batch):.4g} kimg" if ema else "no EMA"
    g = model.generator
    r1 = model.regularizers.get("r1")
    gamma = f"gamma {r1.gamma:.4g}, " if isinstance(r1, R1) and r1.every else ""
    classes = f"{table}\n" if (table := class_table(dataset.class_names)) else ""
    held_out = f"{len(dataset.held_out):,} of them held out, " if dataset.held_out else ""
    where = f"{trainer.world_size} × {trainer.strategy.root_device.type}"
    return (
        f"Data       {dataset.num_images:,} images from {dataset.options.path}, {held_out}"
        f"{text(g.image_size)}, {g.img_channels} channels, {g.num_classes or 'no'} classes\n"
        f"{textwrap.indent(classes, ' ' * 11)}"
        f"Networks   G {sizes[0]} and D {sizes[1]} parameters, on {where}\n"
        f"Training   {kimg:g} kimg, batch {model.batch}, {gamma}learning rate {model.learning_rate:.4g}, {average}\n"
        f"Run        {folder}"
    )


def _closing(model: StyleGAN2, dataset: ImageDataset, folder: Path, samples: Path, signal: int) -> str:
    last = shlex.quote(str(folder / LAST))
    lines = [f"{'Interrupted' if signal else 'Finished'} at {model.images / 1000:.1f} kimg."]
    if signal:
        config = shlex.quote(str(folder / "config.yaml"))
        lines.append(f"Resume     {_command('train')} --config {config} --ckpt_path last")
    label = ""
    if dataset.num_classes and not dataset.class_names:
        label = f"--label={','.join(f'{value:g}' for value in dataset.labels([0])[0].tolist())} "
    return "\n".join(
        [
            *lines,
            f"Samples    {shlex.quote(str(samples))}",
            f"Checkpoint {last}",
            f"Generate   {_command('generate')} --checkpoint {last} --seeds 0-15 {label}"
            f"--out {shlex.quote(str(folder / 'generated'))}",
        ]
    )


def _command(name: str) -> str:
    """The shell command that starts another of our commands in the way in which this process was started."""
    script = Path(sys.argv[0])
    if script.name != "train.py":
        return f"stylegan2 {name}"
    here = Path(sys.executable)
    python = str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)
    if shutil.which("python") == sys.executable:
        python = "python"
    return f"{shlex.quote(python)} {shlex.quote(str(script.with_name(f'{name}.py')))}"
