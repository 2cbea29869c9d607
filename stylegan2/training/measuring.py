"""Measuring metrics of a generator: images from seeds, features of both sets, and figures with their provenance."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath
from statistics import fmean, stdev
from typing import TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from stylegan2.data import ImageDataset, to_uint8
from stylegan2.data.order import Feistel
from stylegan2.errors import InputError
from stylegan2.metrics import Metric, metrics
from stylegan2.metrics.comparison import Comparison
from stylegan2.metrics.extractors import Extractor
from stylegan2.metrics.figures import Figure
from stylegan2.metrics.options import MetricOptions
from stylegan2.metrics.ppl import EPSILON, perceptual_distance
from stylegan2.metrics.reference import cache_path, load_features, pixel_digest, save_features
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import Noise

from . import distributed

BATCH = 64
"""Images that are generated at once. Another number would give other images for the same seed."""

T = TypeVar("T")


class GeneratedImages:
    """n images of a generator without truncation (psi 1), in batches.

    A batch depends on the seed and on its own number only, so that any process can make it. Labels are drawn with
    their frequency in the data set. Weights that are NaN give gray images instead of an error, and metrics show the
    failure.

    Args:
        network: The generator, in evaluation mode.
        dataset: Gives the labels.
        n: Number of images.
        seed: Seed of latents, labels and noise.
    """

    def __init__(self, network: Generator, dataset: ImageDataset, n: int, seed: int = 0):
        self.network, random = network, torch.Generator().manual_seed(seed)
        self._z = torch.split(torch.randn(n, network.z_dim, generator=random), BATCH)
        rows = torch.randint(len(dataset), (n,), generator=random)
        self._c = torch.split(dataset.labels(rows), BATCH)
        self._noise = torch.randint(2**62, (len(self._z),), generator=random)
        self._other_z = torch.split(torch.randn(n, network.z_dim, generator=random), BATCH)

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._z)

    @torch.no_grad()
    def batch(self, number: int, noise: Noise = "random") -> Tensor:
        """The images of a batch, uint8 (N, C, R, R) on the generator's device. Changes PyTorch's random state."""
        weight = next(self.network.parameters())
        torch.manual_seed(int(self._noise[number]))
        z, c = self._z[number].to(weight), self._c[number].to(weight)
        return to_uint8(self.network(z, c, psi=1.0, noise=noise).nan_to_num())

    @torch.no_grad()
    def pairs(self, number: int) -> tuple[Tensor, Tensor]:
        """Images of w and of lerp(w, w', ε), with the same label and the stored noise, for the path length.

        Returns:
            Two tensors (N, C, R, R) in about 0..255, which are not rounded.
        """
        weight = next(self.network.parameters())
        c = self._c[number].to(weight)
        ws, other = (self.network.mapping(z[number].to(weight), c, psi=1.0) for z in (self._z, self._other_z))
        both = torch.cat([ws, ws.lerp(other, EPSILON)])
        x, y = ((self.network.synthesis(both, noise="const").nan_to_num() + 1) * 127.5).chunk(2)
        return x, y


class Measuring:
    """Measures metrics of generators against one set of real images.

    If there are several processes, each makes its share of the images and features, and the first one computes the
    metrics from all of them. The figures are those of one process.

    Args:
        options: Which metrics are measured, and on what.
        dataset: The real images.

    Raises:
        InputError: A package or the weights of the feature network are missing, or there are too few real images.
    """

    def __init__(self, options: MetricOptions, dataset: ImageDataset):
        self.options, self.dataset = options, dataset
        self.on_features = options.feature_metrics()
        self.extractor = options.load_extractor()
        needs = {metric.needs for metric in self.on_features.values()}
        self._distance = (
            perceptual_distance(self.extractor) if self.extractor is not None and "path" in needs else None
        )
        if dataset.is_lazy:
            order = torch.tensor(Feistel(len(dataset), [0])[: options.reals])
        else:
            order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[: options.reals]
        self._rows = [rows.tolist() for rows in torch.split(order, BATCH)]
        self.num_reals = len(order)
        for name, metric in self.on_features.items():
            if self.num_reals < metric.least:
                raise InputError(
                    f"{name} needs at least {metric.least} real images, found {self.num_reals}. Add images, or leave "
                    "it out."
                )
        self._reference: str | None = None
        self._real_features = torch.empty(0, 0)
        self._on_images: dict[str, Metric] = {}

    def real_batch(self, number: int) -> Tensor:
        """Real images, uint8 (N, C, R, R): all of a small set, and a fixed random choice of a large one."""
        images, _ = self.dataset[self._rows[number]]
        return images

    def figures(self, network: Generator, checkpoint: str = "", kimg: float = 0.0) -> list[Figure]:
        """The figures of a generator, in the order of `options.names`. Empty in all processes but the first.

        Every process has to call this with the same weights. The mode of the generator and the random state are
        restored afterwards.

        Args:
            network: The generator.
            checkpoint: Its file, for the figures.
            kimg: Thousands of images that it was trained on, for the figures.
        """
        device, values = next(network.parameters()).device, dict[str, list[float]]()
        with undisturbed(network, device):
            self._prepare(device)
            for seed in range(self.options.seed, self.options.seed + self.options.repeats):
                images = GeneratedImages(network, self.dataset, self.options.images, seed)
                for name, value in self._measure(images, seed).items():
                    values.setdefault(name, []).append(value)
        if distributed.rank() > 0:
            return []
        return [self._figure(name, values[name], checkpoint, kimg) for name in self.options.names]

    def _prepare(self, device: torch.device) -> None:
        """Look at the real images once: their hash, their features, and what metrics on images keep of them."""
        if self._reference is not None:
            return
        first = distributed.rank() == 0
        reals = _told("Hashing real images", map(self.real_batch, range(len(self._rows))), len(self._rows))
        self._reference = pixel_digest(reals) if first else ""
        for name in self.options.names:
            if name not in self.on_features and first:
                self._on_images[name] = metrics[name](map(self.real_batch, range(len(self._rows))))
        extractor = self.extractor
        if extractor is None:
            return
        path = cache_path(self._reference, extractor) if first else None
        cached = load_features(path)
        if distributed.gather(cached is not None)[0]:
            self._real_features = cached if cached is not None else self._real_features
            return
        found = distributed.sharded(
            lambda number: extractor(self.real_batch(number).to(device))[0].cpu(), len(self._rows)
        )
        self._real_features = torch.cat(list(_told("Features of real images", found, len(self._rows))))
        save_features(path, self._real_features)

    def _measure(self, images: GeneratedImages, seed: int) -> dict[str, float]:
        """The values for one seed, by the metrics' names. They are meaningless in all processes but the first."""
        first, values = distributed.rank() == 0, dict[str, float]()
        for name in self.options.names:
            if name not in self.on_features:
                noise: Noise = getattr(metrics[name], "noise", "random")
                batches = self._shared(images, partial(_on_cpu, images, noise))
                values[name] = self._on_images[name](batches) if first else math.nan
                for _ in batches:  # the other processes, and a metric that stops early
                    pass
        if self.extractor is None:
            return values
        compared = self._comparison(images, self.extractor, seed)
        for name, metric in self.on_features.items():
            values[name] = metric.value(compared) if first else math.nan
        return values

    def _comparison(self, images: GeneratedImages, extractor: Extractor, seed: int) -> Comparison:
        compared = Comparison(reals=self._real_features, fakes=torch.empty(0, 0), seed=seed)
        needs = {metric.needs for metric in self.on_features.values()}
        wants_logits = "logits" in needs

        def features(number: int) -> tuple[Tensor, Tensor]:
            found, logits = extractor(images.batch(number))
            return found.cpu(), logits.cpu() if wants_logits and logits is not None else torch.empty(0, 0)

        if needs - {"path"}:
            found, logits = zip(*self._shared(images, features))
            compared.fakes, compared.logits = torch.cat(found), torch.cat(logits)
        distance = self._distance
        if distance is not None:
            exact = copy.copy(images)
            exact.network = full_precision(images.network)
            path = self._shared(images, lambda i: distance(*exact.pairs(i)).cpu(), "Path length")
            compared.path = torch.cat(list(path)) / EPSILON**2
        return compared

    def _shared(
        self, images: GeneratedImages, compute: Callable[[int], T], what: str = "Generated images"
    ) -> Iterator[T]:
        return _told(what, distributed.sharded(compute, len(images)), len(images))

    def _figure(self, name: str, values: list[float], checkpoint: str, kimg: float) -> Figure:
        metric, options = self.on_features.get(name), self.options
        column = title = name
        better, features, weights = getattr(metrics[name], "better", "lower"), "", ""
        _, height, width = self.dataset.shape
        resize = f"Lanczos to {height}" if height == width else f"Lanczos to {height}×{width}"
        if metric is not None and self.extractor is not None:
            network = self._distance if metric.needs == "path" and self._distance else self.extractor
            column, title = metric.column(name, network), metric.full_title(network)
            better, features, weights = metric.better, network.title, network.weights
            resize = f"{resize}; {network.resize}"
        return Figure(
            checkpoint=checkpoint,
            kimg=kimg,
            name=name,
            column=column,
            title=title,
            better="higher" if better == "higher" else "lower",
            value=fmean(values),
            spread=stdev(values) if len(values) > 1 else math.nan,
            images=options.images,
            reals=self.num_reals,
            reference=self._reference or "",
            source="+".join(
                sorted({PurePosixPath(n).suffix.lower().strip(".") for n in self.dataset.names[:100_000]})
            ),
            resize=resize,
            features=features,
            weights=weights,
            seed=options.seed,
            repeats=options.repeats,
        )


def _on_cpu(images: GeneratedImages, noise: Noise, number: int) -> Tensor:
    return images.batch(number, noise).cpu()


def full_precision(network: Generator) -> Generator:
    """A copy whose low-precision blocks compute in the precision of the weights: ε is below what float16 resolves."""
    network = copy.deepcopy(network)
    for block in network.synthesis.children():
        if getattr(block, "dtype", None) is not None:
            vars(block)["dtype"] = None
    return network


@contextmanager
def undisturbed(network: Generator, device: torch.device) -> Iterator[None]:
    """Evaluation mode and float32 without TF32 in the block. These and the random state are restored afterwards."""
    training, products, convolutions = network.training, torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    network.eval()
    products.allow_tf32 = convolutions.allow_tf32 = False
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        network.train(training)
        products.allow_tf32, convolutions.allow_tf32 = before


def _told(what: str, parts: Iterable[T], count: int) -> Iterator[T]:
    """The parts, with a progress bar in the first process if they take longer than three seconds."""
    bar = tqdm(total=count, desc=what, unit="batch", leave=False, delay=3, disable=distributed.rank() > 0)
    with bar:
        for part in parts:
            yield part
            bar.update()


def _kinds(dataset: ImageDataset) -> str:
    """The types of the images' files, such as "jpg+png". Shards hold PNGs alone."""
    names = dataset.names[:1] if dataset.is_lazy else dataset.names
    return "+".join(sorted({PurePosixPath(name).suffix.lower().strip(".") for name in names}))
