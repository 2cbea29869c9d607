"""Runs of one seed have common random numbers: the same images in the same order, and the same latents."""

import pytest
import torch

from stylegan2.tools.train import train_command
from stylegan2.training.draws import CommonDraws
from stylegan2.training.measuring import GeneratedImages
from stylegan2.training.module import StyleGAN2

pytestmark = pytest.mark.filterwarnings("ignore")
CPU = torch.device("cpu")


@pytest.fixture
def seen(monkeypatch):
    """Records the real images, all latents and the pixels of the path length that a training sees."""
    found = {"reals": [], "z": [], "pixels": []}
    step, z, pixels = StyleGAN2.training_step, CommonDraws.z, CommonDraws.pixels

    def record(name, original, index):
        def wrapped(self, *args):
            value = original(self, *args)
            found[name].append((args[index] if value is None else value).clone())
            return value

        return wrapped

    def training_step(self, batch, batch_idx=0):
        found["reals"].append(batch[0].clone())
        return step(self, batch, batch_idx)

    monkeypatch.setattr(StyleGAN2, "training_step", training_step)
    monkeypatch.setattr(CommonDraws, "z", record("z", z, 0))
    monkeypatch.setattr(CommonDraws, "pixels", record("pixels", pixels, 0))

    def train(*args):
        for values in found.values():
            values.clear()
        assert train_command(list(args)) == 0
        return {name: list(values) for name, values in found.items()}

    return train


def same(a, b):
    return len(a) == len(b) > 0 and all(map(torch.equal, a, b))


@pytest.mark.parametrize(
    "change", [{"noise": False}, {"weight_scaling": "kaiming"}, {"minibatch_stddev": False}]
)
def test_variants_of_a_seed_see_the_same_images_and_latents(tiny, tmp_path, seen, change):
    """Without noise, the global random state of a run goes another way from the first iteration on."""
    args = [*tiny[:2], "--runs", str(tmp_path), "--threads", "1", "--kimg", "0.032", "--name"]
    (field, value), *_ = change.items()
    a = seen(*args, "a")
    b = seen(*args, "b", f"--model.scalings.{field}", str(value).lower())
    other = seen(*args, "c", "--seed", "1")
    assert len(a["reals"]) == 4 and len(a["pixels"]) == 1
    for name in a:
        assert same(a[name], b[name])
        assert not same(a[name], other[name])


def test_latents_differ_within_and_between_iterations_and_a_resumed_run_draws_the_same():
    images = 0
    draws = CommonDraws(3, lambda: images)
    like = torch.empty(0)
    first, second = draws.z(4, like, 8), draws.z(4, like, 8)
    images = 16
    third = draws.z(4, like, 8)
    assert len({tuple(z.flatten().tolist()) for z in (first, second, third)}) == 3
    assert torch.equal(CommonDraws(3, lambda: 16).z(4, like, 8), third)
    assert not torch.equal(CommonDraws(4, lambda: 16).z(4, like, 8), third)
    state = torch.get_rng_state()
    draws.crossover(6, 0.9)
    assert torch.equal(state, torch.get_rng_state())


def test_latents_of_many_iterations_are_standard_normal_and_uncorrelated():
    """Each iteration has a stream of its own, whose first numbers must not resemble each other."""
    z = torch.stack([CommonDraws(0, lambda k=k: k).z(1, torch.empty(0), 64)[0] for k in range(0, 16000, 16)])
    assert z.mean().item() == pytest.approx(0, abs=4 / 64000**0.5)
    assert z.var().item() == pytest.approx(1, abs=4 * (2 / 64000) ** 0.5)
    neighbors = (z[1:] * z[:-1]).mean().item()
    assert neighbors == pytest.approx(0, abs=4 / 64000**0.5)


def test_measuring_uses_the_same_latents_for_all_runs_of_a_study(tiny):
    class Network(torch.nn.Module):
        z_dim, weight = 8, torch.nn.Parameter(torch.zeros(1))

        def __init__(self):
            super().__init__()
            self.seen = []

    class Labels:
        def __len__(self):
            return 10

        def labels(self, rows):
            return rows[:, None].float()

    first, second = (GeneratedImages(Network(), Labels(), 100) for _ in range(2))
    assert same(list(first._z), list(second._z)) and torch.equal(first._noise, second._noise)
