"""Metrics measured during training. Measuring does not change the random state of training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor

from stylegan2.data import ImageDataset, to_uint8
from stylegan2.metrics import Metric, metrics
from stylegan2.metrics.options import MetricOptions
from stylegan2.networks.generator import Generator

from .module import StyleGAN2

REALS = 10_000
"""The largest number of training images that a metric is built from."""


def real_images(dataset: ImageDataset, at_most: int = REALS) -> Iterator[Tensor]:
    """Training images in batches, uint8 (N, C, R, R). A larger set gives a fixed random choice of `at_most`."""
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:at_most]
    for rows in order.split(64):
        yield dataset[rows.tolist()][0]


def generated_images(network: Generator, dataset: ImageDataset, n: int, seed: int = 0) -> Iterator[Tensor]:
    """n images of a generator in batches, uint8 (N, C, R, R) on the CPU, without truncation (psi 1).

    Latents and noise are the same at every call. Labels are drawn with their frequency in the data set.
    Weights that are NaN give gray images instead of an error, and the metric then shows the failure.
    """
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(n, network.z_dim, generator=random)
    c = dataset.labels(torch.randint(len(dataset), (n,), generator=random))
    weight = next(network.parameters())
    torch.manual_seed(seed)
    for some_z, some_c in zip(z.split(64), c.split(64)):
        images = network(some_z.to(weight), some_c.to(weight), psi=1.0, noise="random")
        yield to_uint8(images.nan_to_num()).cpu()


@torch.no_grad()
def measure(
    chosen: Mapping[str, Metric], network: Generator, dataset: ImageDataset, n: int
) -> dict[str, float]:
    """The value of each metric for n images of a generator.

    The mode of the generator and the random state are restored afterwards. The images are generated again for
    each metric, so that they need not all fit into memory.

    Returns:
        Values by the names in `chosen`.
    """
    device, training = next(network.parameters()).device, network.training
    network.eval()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            return {name: metric(generated_images(network, dataset, n)) for name, metric in chosen.items()}
    finally:
        network.train(training)


class Evaluation(pl.Callback):
    """Measures metrics of images from the sampling generator, during training and at the end.

    The values are logged as metric_NAME, and the time for measuring all of them as evaluation_seconds. The
    first process measures while the others wait.

    Args:
        options: Which metrics are measured, how often, and on how many images.
        dataset: The real images.
    """

    def __init__(self, options: MetricOptions, dataset: ImageDataset):
        self.options, self.dataset = options, dataset
        self._metrics: dict[str, Metric] = {}
        self._measured_at: int | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_: object) -> None:
        every = self.options.every_kimg * 1000
        if every and module.images // every > (module.images - module.batch) // every:
            self._measure(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        if self._measured_at != module.images:
            self._measure(trainer, module)

    def _measure(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        if not self.options.names or not trainer.is_global_zero:
            return
        start = time.perf_counter()
        if not self._metrics:  # only once, because reading the real images takes time
            self._metrics = {name: metrics[name](real_images(self.dataset)) for name in self.options.names}
        values = measure(self._metrics, module.sampling_generator, self.dataset, self.options.images)
        row = {"kimg": module.images / 1000, "iteration": module.iteration}
        row |= {f"metric_{name}": values[name] for name in self.options.names}
        row["evaluation_seconds"] = time.perf_counter() - start
        for logger in trainer.loggers:
            logger.log_metrics(row, step=module.images)
        self._measured_at = module.images
