"""Metrics on features: each against its definition, or against torchmetrics on the same features."""

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from stylegan2.errors import InputError
from stylegan2.metrics import kid, metrics
from stylegan2.metrics.comparison import Comparison, FeatureMetric
from stylegan2.metrics.extractors.random import RandomNetwork

NAMES = [
    "fid",
    "kid",
    "inception_score",
    "precision",
    "recall",
    "density",
    "coverage",
    "ppl",
]


class Flat(torch.nn.Module):
    """Features that torchmetrics and we take alike: the pixels of the images."""

    key, title, published, has_classes, weights, resize = "flat", "Flat", False, True, "", "none"
    num_features = 12

    def forward(self, images):
        return images.double().flatten(1) / 255


class Pixels(Flat):
    def forward(self, images):
        features = super().forward(images)
        return features, features


@pytest.fixture
def images():
    """Real and generated images, which differ."""
    reals = torch.randint(0, 256, (60, 3, 2, 2), dtype=torch.uint8)
    return reals, torch.randint(0, 200, (50, 3, 2, 2), dtype=torch.uint8)


@pytest.fixture
def features():
    random = np.random.default_rng(3)
    return tuple(
        torch.from_numpy(random.normal(size=(n, 5)) @ random.normal(size=(5, 5)) + shift)
        for n, shift in ((70, 0.0), (55, 0.5))
    )


@pytest.mark.parametrize("swapped", [False, True])
def test_frechet_distance_is_that_of_torchmetrics(images, swapped):
    reals, fakes = reversed(images) if swapped else images
    theirs = FrechetInceptionDistance(feature=Flat()).set_dtype(torch.float64)
    theirs.update(reals, real=True)
    theirs.update(fakes, real=False)
    ours = metrics["fid"](reals.split(16), Pixels())(fakes.split(7))
    assert ours == pytest.approx(theirs.compute().item(), rel=1e-7) and ours > 0.1


@pytest.mark.parametrize("swapped", [False, True])
def test_kernel_distance_is_that_of_torchmetrics(images, swapped, monkeypatch):
    """Of all images, since the two programs draw other subsets."""
    reals, fakes = (x[:50] for x in (reversed(images) if swapped else images))
    theirs = KernelInceptionDistance(feature=Flat(), subsets=1, subset_size=50).set_dtype(torch.float64)
    theirs.update(reals, real=True)
    theirs.update(fakes, real=False)
    ours = metrics["kid"]([reals], Pixels())([fakes])
    assert ours == pytest.approx(theirs.compute()[0].item(), rel=1e-6) and ours > 0.01


def test_kernel_distance_is_the_mean_over_subsets_that_the_seed_draws(features, monkeypatch):
    monkeypatch.setattr(kid, "SUBSETS", 3)
    monkeypatch.setattr(kid, "SUBSET_SIZE", 20)
    reals, fakes = features
    random, values = np.random.RandomState(7), []
    for _ in range(3):
        x = fakes[random.choice(55, 20, replace=False)].numpy()
        y = reals[random.choice(70, 20, replace=False)].numpy()
        xx, yy, xy = ((a @ b.T / 5 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
        off = ~np.eye(20, dtype=bool)
        values.append(xx[off].mean() + yy[off].mean() - 2 * xy.mean())
    ours = metrics["kid"].value(Comparison(reals=reals, fakes=fakes, seed=7))
    assert ours == pytest.approx(np.mean(values), rel=1e-10)


def test_classifier_score_is_that_of_torchmetrics(images):
    """Both average over ten parts of shuffled images. Ten copies of each image make nearly the same parts."""
    fakes = images[1][:5].repeat(400, 1, 1, 1)
    theirs = InceptionScore(feature=Flat(), splits=10).set_dtype(torch.float64)
    theirs.update(fakes)
    ours = metrics["inception_score"]([fakes], Pixels())([fakes])
    assert ours == pytest.approx(theirs.compute()[0].item(), rel=5e-4) and ours > 1.01


def test_classifier_score_is_its_definition_part_by_part():
    logits = torch.randn(40, 6, dtype=torch.float64) * 3
    order = np.random.RandomState(5).permutation(40)
    scores = []
    for part in np.array_split(logits.numpy()[order], 10):
        p = np.exp(part) / np.exp(part).sum(axis=1, keepdims=True)
        scores.append(np.exp((p * np.log(p / p.mean(axis=0))).sum(axis=1).mean()))
    compared = Comparison(reals=logits, fakes=logits, logits=logits, seed=5)
    assert metrics["inception_score"].value(compared) == pytest.approx(np.mean(scores), rel=1e-10)


def radii(points, k):
    """Distance of each point to its k-th nearest among the others."""
    return [
        sorted(float((p - q).norm()) for j, q in enumerate(points) if j != i)[k - 1]
        for i, p in enumerate(points)
    ]


@pytest.mark.parametrize("name", ["precision", "recall", "density", "coverage"])
def test_a_measure_of_neighborhoods_is_its_definition_image_by_image(name, features):
    reals, fakes = features
    k = 3 if name in ("precision", "recall") else 5
    centers, points = (fakes, reals) if name == "recall" else (reals, fakes)
    within = [
        [float((point - center).norm()) <= radius for point in points]
        for center, radius in zip(centers, radii(centers, k))
    ]
    balls_of_point = [sum(row[j] for row in within) for j in range(len(points))]
    expected = {
        "precision": sum(n > 0 for n in balls_of_point) / len(points),
        "recall": sum(n > 0 for n in balls_of_point) / len(points),
        "density": sum(balls_of_point) / (k * len(points)),
        "coverage": sum(any(row) for row in within) / len(centers),
    }[name]
    value = metrics[name].value(Comparison(reals=reals, fakes=fakes))
    assert value == pytest.approx(expected, rel=1e-6) and 0 < value != 1


def test_equal_distributions_have_density_one_and_the_coverage_of_the_paper():
    """E coverage = 1 - (N-1)...(N-k)/((2N-1)...(2N-k)), about 1 - 2^-k, for N real and N generated images."""
    density, coverage = [], []
    for _ in range(20):
        compared = Comparison(reals=torch.randn(100, 8), fakes=torch.randn(100, 8))
        density.append(metrics["density"].value(compared))
        coverage.append(metrics["coverage"].value(compared))
    expected = 1 - np.prod([(100 - i) / (200 - i) for i in range(1, 6)])
    assert np.mean(density) == pytest.approx(1, abs=0.05)
    assert np.mean(coverage) == pytest.approx(expected, abs=0.015)


def test_dropped_modes_lower_recall_and_coverage_and_noise_lowers_precision_and_density():
    modes = torch.randn(8, 16) * 10
    real, fake = (modes[torch.arange(240) % 8] + torch.randn(240, 16) for _ in range(2))
    few, noisy = fake[torch.arange(240) % 8 < 2].repeat(4, 1), fake + 3 * torch.randn_like(fake)
    values = {
        name: [metrics[name].value(Comparison(reals=real, fakes=x)) for x in (fake, few, noisy)]
        for name in ("precision", "recall", "density", "coverage")
    }
    assert values["recall"][1] < 0.5 < values["recall"][0]
    assert values["coverage"][1] < 0.3 < 0.9 < values["coverage"][0]
    assert values["precision"][1] > 0.5 > values["precision"][2]
    assert values["density"][1] > 0.5 > values["density"][2]


def test_path_length_is_the_mean_without_the_extreme_hundredths():
    path = torch.cat([torch.full((98,), 2.0), torch.tensor([1e6, 0.0])])[torch.randperm(100)]
    path = torch.cat([path, torch.tensor([4.0])])
    expected = sorted(path.tolist())[1:-1]
    value = metrics["ppl"].value(Comparison(reals=path[None], fakes=path[None], path=path))
    assert value == pytest.approx(sum(expected) / len(expected))


@pytest.mark.parametrize("name", NAMES)
def test_figures_with_other_features_are_never_called_as_in_papers(name):
    metric, network = metrics[name], RandomNetwork()
    assert isinstance(metric, FeatureMetric)
    title, column = metric.full_title(network), metric.column(name, network)
    assert title.endswith(", random-convolution features") and column.endswith("_random")
    assert not any(word in f"{title} {column}" for word in ("FID", "KID", "fid", "kid", "nception", "PPL"))


@pytest.mark.parametrize("name", NAMES)
def test_figures_with_the_published_features_are_called_as_in_papers_if_those_use_them(name):
    network = Pixels()
    network.published, network.key, network.title = True, "inception", "Inception-v3"
    title, column = metrics[name].full_title(network), metrics[name].column(name, network)
    if name in ("precision", "recall", "density", "coverage"):  # papers use VGG-16
        assert title == f"{name.capitalize()}, Inception-v3 features" and column == f"{name}_inception"
    else:
        assert title == {"inception_score": "Inception score"}.get(name, name.upper()) and column == name


def test_path_length_refuses_images_and_a_metric_without_weights_says_what_is_missing(
    images, monkeypatch, tmp_path
):
    with pytest.raises(ValueError, match="needs a generator"):
        metrics["ppl"]([images[0]])
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match="weights of Inception-v3"):
        metrics["fid"]([images[0]])
