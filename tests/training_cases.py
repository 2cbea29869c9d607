"""Tiny networks and short trainings of them, for the tests of training and checkpoints."""

import pytorch_lightning as pl
import torch

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.data import ImageData
from stylegan2.files import yaml_text
from stylegan2.training.checkpoint import CheckpointState, save
from stylegan2.training.config import TrainingConfig
from stylegan2.training.data import TrainingData
from stylegan2.training.module import StyleGAN2
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1

TINY = {"channel_base": 64, "channel_max": 8}
DEFAULT = Scalings()


def tiny_config(data=None, **options):
    """The YAML of a training run of two iterations, with other options of the data and of the run."""
    networks = {
        "generator": {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, **TINY},
        "discriminator": {"mapping_layers": 2, **TINY},
    }
    run = {"kimg": 0.016, "batch": 8, "accelerator": "cpu", **options}
    return yaml_text({"data": {"resolution": 8, **(data or {})}, **run, "model": networks})


def make_model(
    batch=8,
    seed=0,
    scalings=DEFAULT,
    r1=R1(gamma=1, every=3),  # noqa: B008 (frozen)
    path_length=PathLength(every=2),  # noqa: B008
    num_classes=9,
    also=(),
    batch_per_device=None,
    **options,
):
    torch.manual_seed(seed)
    shared = {"num_classes": num_classes, "scalings": scalings} | TINY
    return StyleGAN2(
        Generator(8, z_dim=8, w_dim=8, mapping_layers=2, **shared),
        Discriminator(8, mapping_layers=2, **shared),
        TrainingConfig(scalings=scalings, regularizers=(r1, path_length, *also), **options),
        batch=batch,
        batch_per_device=batch_per_device,
    )


class StopAt(pl.Callback):
    def __init__(self, iterations):
        self.iterations = iterations

    def on_train_batch_end(self, trainer, module, *_):
        trainer.should_stop = module.iteration >= self.iterations


class Saver(pl.Callback):
    def __init__(self, path):
        self.path = path

    def on_train_end(self, trainer, module):
        save(trainer, module, self.path)


def fit(model, iterations, *callbacks, resume=None, loader=TrainingData, **trainer):
    dataset = ImageData(resolution=8, classes="folders").open(progress=False)
    data = loader(dataset, model, seed=5)
    options = {"accelerator": "cpu", "devices": 1, "max_epochs": -1, "logger": False} | trainer
    trainer = pl.Trainer(
        callbacks=[CheckpointState(data), StopAt(iterations), *callbacks],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    )
    torch.manual_seed(1)
    trainer.fit(model, data, ckpt_path=resume, weights_only=True)
    return model


def assert_same_state(a, b, **tolerance):
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values()):
        torch.testing.assert_close(x, y, msg=lambda text, name=name: f"{name}: {text}", **tolerance)
