"""Metrics: each against its definition by other means, what they see, and a metric of one's own."""

from collections.abc import Iterable

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.data import ImageData
from stylegan2.errors import InputError
from stylegan2.metrics import batches, metrics
from stylegan2.metrics.diversity import Diversity
from stylegan2.metrics.features import RandomFeatures, StandardizedFeatures
from stylegan2.metrics.options import MetricOptions
from stylegan2.metrics.random_frechet import Normal, RandomFrechet, frechet_distance
from stylegan2.metrics.random_kernel import RandomKernel

SHIPPED = ["random_frechet", "random_kernel"]


@pytest.fixture(scope="module")
def drawings():
    dataset = ImageData("demo/smileys-emotion", resolution=32).open(progress=False)
    return dataset[list(range(dataset.num_images))][0]


def blurred(images, sigma):
    kernel = torch.exp(-(torch.arange(-8.0, 9) ** 2) / (2 * sigma**2))
    kernel = (kernel[:, None] * kernel / kernel.sum() ** 2).expand(3, 1, 17, 17)
    padded = F.pad(images.float(), (8,) * 4, mode="replicate")
    return F.conv2d(padded, kernel, groups=3).round().to(torch.uint8)


def raw_pixels(images):
    """Features without any network: the pixels."""
    return images.double().flatten(1)


def test_frechet_distance_is_its_definition_by_scipys_matrix_root():
    random = np.random.default_rng(0)
    a, b = (random.normal(size=(50, 6)) @ random.normal(size=(6, 6)) + i for i in range(2))
    ca, cb = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * scipy.linalg.sqrtm(ca @ cb).real)
    found = frechet_distance(*(Normal.fit(torch.from_numpy(x)) for x in (a, b)))
    assert found == pytest.approx(expected, rel=1e-6)


def test_kernel_distance_is_its_definition_pair_by_pair():
    reals, fakes = (torch.randint(0, 256, (n, 1, 2, 2), dtype=torch.uint8) for n in (7, 5))
    x, y = (raw_pixels(images).numpy() for images in (reals, fakes))
    mean, std = x.mean(0), x.std(0, ddof=1)
    x, y = (x - mean) / std, (y - mean) / std

    def k(a, b):
        return (sum(float(p) * float(q) for p, q in zip(a, b)) / 4 + 1) ** 3

    def mean_k(rows, columns, same):
        pairs = [k(a, b) for i, a in enumerate(rows) for j, b in enumerate(columns) if not (same and i == j)]
        return sum(pairs) / len(pairs)

    expected = mean_k(x, x, True) + mean_k(y, y, True) - 2 * mean_k(x, y, False)
    metric = RandomKernel(reals.split(3), features=raw_pixels)
    assert metric(fakes.split(2)) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_of_equal_distributions_is_zero_on_average_for_few_images_too():
    """The Fréchet distance is not: with few images it is far above zero."""

    def draw(n):
        return torch.randint(0, 256, (n, 1, 2, 2), dtype=torch.uint8)

    kernel, frechet = [], []
    for _ in range(200):
        reals, fakes = draw(40), draw(8)
        kernel.append(RandomKernel([reals], features=raw_pixels)([fakes]))
        frechet.append(RandomFrechet([reals], features=raw_pixels)([fakes]))
    kernel, frechet = torch.tensor(kernel), torch.tensor(frechet)
    error = kernel.std() / 200**0.5
    assert kernel.mean().abs() < 4 * error < 0.2
    assert frechet.mean() > 1


def test_frechet_distance_of_a_set_to_itself_is_zero(drawings):
    assert RandomFrechet([drawings])(drawings.split(50)) < 1e-6


@pytest.mark.parametrize("name", SHIPPED)
def test_a_distance_grows_with_blur_with_noise_and_with_dropped_modes(name, drawings):
    metric = metrics[name]([drawings])
    noise, order = torch.randn(drawings.shape), torch.randperm(len(drawings))
    noisy = [(drawings + noise * s).round().clamp(0, 255).to(torch.uint8) for s in (5, 10, 20, 40, 80)]
    fewer = [drawings[order[:n]].repeat(169 // n + 1, 1, 1, 1)[:169] for n in (150, 80, 40, 20, 5)]
    series = {
        "blur": [metric([blurred(drawings, s)]) for s in (0.5, 0.8, 1.2, 2, 4)],
        "noise": [metric([images]) for images in noisy],
        "modes": [metric([images]) for images in fewer],
    }
    for kind, values in series.items():
        assert values == sorted(values) and values[-1] > 0.01, (kind, values)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_value_does_not_depend_on_how_images_are_batched(name, drawings):
    fakes = drawings.flip(2)
    whole = metrics[name]([drawings])([fakes])
    assert metrics[name](drawings.split(17))(fakes.split(23)) == pytest.approx(whole, rel=1e-6)


def test_features_are_the_same_on_every_machine():
    images = torch.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32).remainder(256).to(torch.uint8)
    features = RandomFeatures()(images)
    assert features.shape == (2, 4 * (3 + 3 * 16))
    assert features.sum(dim=1).tolist() == pytest.approx([87.0805, 87.0805], rel=1e-4)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("channels,side", [(1, 16), (3, 16), (4, 16), (3, 4)])
def test_metrics_take_gray_color_and_alpha_and_the_smallest_images(name, channels, side):
    images = torch.randint(0, 256, (8, channels, side, side), dtype=torch.uint8)
    assert metrics[name]([images])([images // 4]) > 1


def test_standardized_features_have_mean_zero_and_deviation_one_over_the_real_images(drawings):
    standardized = StandardizedFeatures(drawings.split(64))
    assert standardized.reals.mean(dim=0).abs().max() < 1e-9
    assert standardized.reals.std(dim=0).numpy() == pytest.approx(1)
    assert torch.allclose(standardized([drawings]), standardized.reals)
    for reals in ([], [drawings[:1]]):
        with pytest.raises(ValueError, match="two real images"):
            StandardizedFeatures(reals)


def test_batches_draw_every_image_once():
    drawn = []

    def sample(n):
        drawn.append(n)
        return torch.zeros(n, 3, 4, 4, dtype=torch.uint8)

    assert sum(len(images) for images in batches(sample, 150)) == 150 and drawn == [64, 64, 22]


def test_options_refuse_unknown_names_and_numbers_that_cannot_be():
    assert MetricOptions(names=SHIPPED).names == SHIPPED
    with pytest.raises(InputError, match="Did you mean random_frechet"):
        MetricOptions(names=["random_frechett"])
    with pytest.raises(InputError, match="images of 2 or more"):
        MetricOptions(images=1)
    with pytest.raises(InputError, match="every_kimg of 0 or more"):
        MetricOptions(every_kimg=-1)


def test_a_metric_of_ones_own_is_one_class(drawings):
    @metrics.register("mean_color")
    class MeanColor:
        """Distance between the mean colors of generated and real images, in gray levels."""

        def __init__(self, reals: Iterable[Tensor]):
            self.reals = self.mean(reals)

        def __call__(self, images: Iterable[Tensor]) -> float:
            return (self.mean(images) - self.reals).norm().item()

        @staticmethod
        def mean(images: Iterable[Tensor]) -> Tensor:
            """Mean of each channel: batches of uint8 (N, C, H, W) to (C,)."""
            return torch.cat([batch.double().mean(dim=(2, 3)) for batch in images]).mean(dim=0)

    try:
        metric = metrics["mean_color"](drawings.split(64))
        assert MetricOptions(names=["mean_color"]) and metric([drawings]) < 1e-9
        means = [images.double().mean(dim=(0, 2, 3)) for images in (drawings, 255 - drawings)]
        assert metric(batches(lambda n: 255 - drawings[:n], len(drawings), len(drawings))) == pytest.approx(
            (means[0] - means[1]).norm().item()
        )
    finally:
        del metrics._entries["mean_color"]


def test_diversity_is_the_standard_deviation_over_the_rms_and_does_not_depend_on_batches(drawings):
    x = drawings.double().numpy() / 127.5 - 1
    expected = np.sqrt(x.var(axis=0, ddof=1).mean()) / np.sqrt((x**2).mean())
    for size in (7, 64, 1000):
        assert Diversity()(drawings.split(size)) == pytest.approx(expected, rel=1e-9)
    assert Diversity()([drawings[:1].expand(20, -1, -1, -1)]) == pytest.approx(0, abs=1e-6)
    fewer = torch.cat([drawings[:8], drawings[:1].expand(160, -1, -1, -1)])  # modes are missing
    assert Diversity()([fewer]) < 0.8 * expected
