"""Measuring a generator: images from seeds, figures with their provenance, and the work of several processes."""

import math
import os
from dataclasses import asdict, replace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from stylegan2.data import ImageData
from stylegan2.errors import InputError
from stylegan2.metrics import metrics, reference
from stylegan2.metrics.extractors.random import RandomNetwork
from stylegan2.metrics.options import MetricOptions
from stylegan2.metrics.ppl import EPSILON
from stylegan2.metrics.random_frechet import RandomFrechet
from stylegan2.metrics.reference import pixel_digest
from stylegan2.networks.generator import Generator
from stylegan2.training import measuring
from stylegan2.training.measuring import GeneratedImages, Measuring, full_precision

ALL = ["random_frechet", "fid", "kid", "precision", "recall", "density", "coverage", "ppl"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "cache_folder", lambda: tmp_path / "cache")


def make_dataset(classes="none"):
    path = "demo/smileys-emotion" if classes == "none" else "demo"
    return ImageData(path, resolution=8, classes=classes).open(progress=False)


@pytest.fixture
def dataset():
    return make_dataset()


def make_network(num_classes=0, **options):
    torch.manual_seed(3)
    tiny = {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 64, "channel_max": 8}
    network = Generator(8, num_classes=num_classes, **tiny, **options)
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.1)
    return network


def options(**changes):
    return MetricOptions(**({"names": ALL, "images": 150, "features": "random", "repeats": 2} | changes))


def test_images_depend_on_the_seed_and_the_number_of_the_batch_alone(dataset):
    network = make_network().eval()
    images = GeneratedImages(network, dataset, 150, seed=5)
    assert [len(images.batch(i)) for i in range(len(images))] == [64, 64, 22]
    second = images.batch(1)
    assert torch.equal(GeneratedImages(network, dataset, 150, seed=5).batch(1), second)
    assert not torch.equal(GeneratedImages(network, dataset, 150, seed=6).batch(1), second)
    whole = torch.cat([images.batch(i) for i in range(3)])
    assert whole.dtype == torch.uint8 and len({tuple(image.flatten().tolist()) for image in whole}) == 150


def test_nan_weights_give_gray_images_and_figures_that_show_it(dataset):
    network = make_network().eval()
    chosen = Measuring(options(names=["fid"], repeats=1), dataset)
    before = chosen.figures(network)[0].value
    for parameter in network.parameters():
        parameter.data.fill_(math.nan)
    assert (GeneratedImages(network, dataset, 4).batch(0) == 128).all()
    assert chosen.figures(network)[0].value > before


def test_labels_have_their_frequency_in_the_data():
    dataset = make_dataset("folders")
    network = make_network(dataset.num_classes).eval()
    labels = torch.cat(GeneratedImages(network, dataset, 4000)._c).mean(dim=0)
    expected = dataset.labels(range(dataset.num_images)).mean(dim=0)
    assert (labels - expected).abs().max() < 0.03
    assert GeneratedImages(network, dataset, 3).batch(0).shape == (3, 3, 8, 8)


def test_path_length_is_the_length_of_the_derivative():
    """With squared distances of pixels, d/ε² tends to ‖J·(w' - w)‖², where J is the Jacobian of g: to 1 %."""
    dataset, network = make_dataset("folders"), make_network(9).double().eval()
    images = GeneratedImages(network, dataset, 6, seed=2)
    x, y = images.pairs(0)
    found = (x - y).square().sum(dim=(1, 2, 3)) / EPSILON**2
    z, other = images._z[0].double(), images._other_z[0].double()
    c = images._c[0].double()
    w, w1 = network.mapping(z, c), network.mapping(other, c)
    for i in range(6):

        def g(point):
            return (network.synthesis(point, noise="const") + 1) * 127.5

        _, slope = torch.autograd.functional.jvp(g, w[i : i + 1], w1[i : i + 1] - w[i : i + 1])
        assert found[i].item() == pytest.approx(slope.square().sum().item(), rel=1e-2)


def test_path_length_is_measured_in_the_precision_of_the_weights():
    network = make_network(low_precision_blocks=1, low_precision_dtype="bfloat16").eval()
    exact = full_precision(network)
    ws = network.mapping(torch.randn(4, 8))
    plain = make_network().eval()
    assert torch.equal(exact.synthesis(ws, noise="const"), plain.synthesis(ws, noise="const"))
    assert not torch.equal(network.synthesis(ws, noise="const"), exact.synthesis(ws, noise="const"))


def test_a_figure_is_that_of_the_metric_on_all_images_and_has_its_provenance(dataset):
    network = make_network().eval()
    found = {
        f.name: f for f in Measuring(options(repeats=1, seed=4), dataset).figures(network, "a.ckpt", 2.5)
    }
    images = GeneratedImages(network, dataset, 150, seed=4)
    fakes = [images.batch(i) for i in range(3)]
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0)).tolist()
    reals = dataset[order][0]
    assert found["random_frechet"].value == pytest.approx(RandomFrechet([reals])(fakes), rel=1e-9)
    for name in ("fid", "precision", "coverage"):
        assert found[name].value == pytest.approx(metrics[name]([reals], RandomNetwork())(fakes), rel=1e-6)
    assert asdict(found["fid"]) | {"value": 0, "spread": 0} == {
        "checkpoint": "a.ckpt",
        "kimg": 2.5,
        "name": "fid",
        "column": "frechet_distance_random",
        "title": "Fréchet distance, random-convolution features",
        "better": "lower",
        "value": 0,
        "spread": 0,
        "images": 150,
        "reals": len(dataset),
        "reference": pixel_digest([reals]),
        "source": "png",
        "resize": "Lanczos to 8; none",
        "features": "random-convolution",
        "weights": RandomNetwork().weights,
        "seed": 4,
        "repeats": 1,
    }
    assert math.isnan(found["fid"].spread)
    assert (found["random_frechet"].features, found["random_frechet"].weights) == ("", "")
    assert found["ppl"].title == "Path length, random-convolution features" and found["ppl"].value > 0


def test_repeats_are_further_seeds_and_give_mean_and_deviation(dataset):
    network = make_network().eval()
    single = [
        Measuring(options(names=["fid"], repeats=1, seed=seed), dataset).figures(network)[0].value
        for seed in (7, 8, 9)
    ]
    (figure,) = Measuring(options(names=["fid"], repeats=3, seed=7), dataset).figures(network)
    values = torch.tensor(single, dtype=torch.float64)
    assert figure.value == pytest.approx(values.mean().item()) and len(set(single)) == 3
    assert figure.spread == pytest.approx(values.std().item(), rel=1e-6)


def test_reals_are_a_fixed_choice_of_a_large_set(dataset):
    chosen = [Measuring(options(names=["fid"], reals=100), dataset) for _ in range(2)]
    first, second = (torch.cat([m.real_batch(0), m.real_batch(1)]) for m in chosen)
    assert len(first) == 100 and torch.equal(first, second)
    assert Measuring(options(names=["fid"]), dataset).num_reals == len(dataset)


def test_features_of_real_images_are_computed_once_for_all_processes_to_come(dataset, monkeypatch):
    network, seen = make_network().eval(), []
    plain = RandomNetwork.__call__
    monkeypatch.setattr(RandomNetwork, "__call__", lambda self, x: (seen.append(len(x)), plain(self, x))[1])
    first = Measuring(options(names=["fid"], repeats=1), dataset).figures(network)
    assert sum(seen) == len(dataset) + 150
    seen.clear()
    assert [f.value for f in Measuring(options(names=["fid"], repeats=1), dataset).figures(network)] == [
        f.value for f in first
    ]
    assert sum(seen) == 150


def test_too_few_real_images_are_refused(dataset):
    with pytest.raises(InputError, match="coverage needs at least 6 real images, found 5"):
        Measuring(options(names=["coverage"], reals=5), dataset)


def measure_process(rank, world, port, path):
    reference.cache_folder = lambda: path.parent / f"cache {world}"
    torch.set_num_threads(1)
    if world > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        dist.init_process_group("gloo", rank=rank, world_size=world)
    work, plain = [], RandomNetwork.__call__
    RandomNetwork.__call__ = lambda self, x: (work.append(len(x)), plain(self, x))[1]
    dataset = make_dataset()
    for _ in range(2):  # the second time the real features come from the cache
        figures = Measuring(options(), dataset).figures(make_network())
    torch.save({"figures": [asdict(f) for f in figures], "work": sum(work)}, path.with_suffix(f".{rank}"))


def test_two_processes_share_the_work_and_give_the_figures_of_one(tmp_path, monkeypatch):
    context, port, threads = mp.get_context("spawn"), 31500 + os.getpid() % 1000, torch.get_num_threads()
    jobs = [
        context.Process(target=measure_process, args=(rank, 2, port, tmp_path / "2.pt")) for rank in range(2)
    ]
    for job in jobs:
        job.start()
    monkeypatch.setattr(RandomNetwork, "__call__", RandomNetwork.__call__)  # it is restored after the test
    measure_process(0, 1, 0, tmp_path / "1.pt")
    torch.set_num_threads(threads)
    for job in jobs:
        job.join(120)
        assert job.exitcode == 0
    one, first, second = (torch.load(tmp_path / name, weights_only=True) for name in ("1.0", "2.0", "2.1"))
    assert first["figures"] == one["figures"] and len(one["figures"]) == len(ALL)
    assert all(math.isfinite(f["value"]) for f in one["figures"])
    assert second["figures"] == []
    assert first["work"] + second["work"] == one["work"] and second["work"] > 0.3 * one["work"]


def test_measuring_leaves_random_state_mode_and_weights_alone(dataset):
    network = make_network().train()
    state, before = torch.get_rng_state(), {k: v.clone() for k, v in network.state_dict().items()}
    chosen = Measuring(options(repeats=1), dataset)
    first = chosen.figures(network)
    assert torch.equal(torch.get_rng_state(), state) and network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    torch.manual_seed(5)
    again = chosen.figures(network)
    assert [replace(f, spread=0) for f in again] == [replace(f, spread=0) for f in first]
    assert measuring.BATCH == 64  # another number gives other images for the same seed


def test_diversity_is_measured_with_equal_noise_and_higher_is_better(dataset):
    network = make_network().eval()
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 3.0)
    chosen = Measuring(options(names=["diversity"], repeats=1), dataset)
    (figure,) = chosen.figures(network)
    images = GeneratedImages(network, dataset, 150)
    x = torch.cat([images.batch(i, "const") for i in range(3)]).double() / 127.5 - 1
    expected = (x.var(dim=0).mean() / x.square().mean()).sqrt().item()
    assert figure.value == pytest.approx(expected) and figure.better == "higher"
    network.mapping.forward = lambda z, *_, **__: torch.zeros(len(z), network.num_ws, 8)
    (blind,) = chosen.figures(network)  # its images do not depend on z, and differ by noise
    assert blind.value == pytest.approx(0, abs=1e-6)
    assert GeneratedImages(network, dataset, 4).batch(0).double().std(dim=0).mean() > 1
