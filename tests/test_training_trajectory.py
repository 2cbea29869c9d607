"""Seven iterations of the official training loop, every draw given: weights, losses, running averages."""

import json

import numpy as np
import pytest
import torch
from conftest import GOLDEN

from stylegan2.formats.official import from_official
from stylegan2.training.config import TrainingConfig
from stylegan2.training.ema import EMA
from stylegan2.training.module import StyleGAN2
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1

TOLERANCE = 1e-9


class ScriptedDraws:
    """The draws of the official run, in its order of phases."""

    def __init__(self, data, args):
        self.data, self.args, self.iteration = data, args, 0
        self._queue, self._cutoffs = [], []

    def begin(self, iteration):
        phases = ["gmain", *(["greg"] if iteration % self.args["g_every"] == 0 else []), "dmain"]
        for phase in phases:
            key = f"it{iteration}/{phase}"
            cutoff = int(self.data[f"{key}/mix_cutoff"])
            self._cutoffs.append(cutoff)
            self._queue.append(self.data[f"{key}/z"])
            if cutoff < self.args["num_ws"]:
                self._queue.append(self.data[f"{key}/z_mix"])
        self._pixels = f"it{iteration}/greg/pl_noise"

    def z(self, n, like, width):
        z = torch.from_numpy(self._queue.pop(0)).double()
        assert z.shape == (n, width)
        return z

    def crossover(self, num_ws, probability):
        return self._cutoffs.pop(0)

    def pixels(self, images):
        return torch.from_numpy(self.data[self._pixels]).double()


@pytest.fixture(scope="module")
def trajectory():
    """The module after the last iteration, the official numbers, and what each iteration computed."""
    args = json.loads((GOLDEN / "training.json").read_text(encoding="utf-8"))["args"]
    with np.load(GOLDEN / "training.npz") as file:
        data = dict(file)

    def network(name, **overrides):
        prefix = f"before/{name}:"
        weights = {k[len(prefix) :]: torch.from_numpy(v) for k, v in data.items() if k.startswith(prefix)}
        return from_official({k: v.double() for k, v in weights.items()}, **overrides).train()

    model = StyleGAN2(
        network("G", w_avg_beta=args["w_avg_beta"]),
        network("D", minibatch_group=args["discriminator"]["minibatch_std_group"]),
        TrainingConfig(
            learning_rate=args["learning_rate"],
            betas=tuple(args["betas"]),
            ema=EMA(half_life_kimg=args["ema_nimg"] / 1000, rampup=args["ema_rampup"]),
            regularizers=(
                R1(gamma=args["r1_gamma"], every=args["d_every"]),
                PathLength(
                    weight=args["pl_weight"],
                    decay=args["pl_decay"],
                    batch_shrink=args["pl_batch_shrink"],
                    every=args["g_every"],
                ),
            ),
        ),
        batch=args["batch"],
    ).double()
    model.draws, optimizers = ScriptedDraws(data, args), model.configure_optimizers()
    computed = []
    for k in range(args["iterations"]):
        model.draws.begin(k)
        real = torch.from_numpy(data[f"it{k}/real"]).double()
        model.iterate(real, torch.zeros(len(real), 0), *optimizers)
        computed.append(dict(model.losses) | {"mean": model.path_length_mean.clone()})
    return model, data, computed


def check(name, value, reference):
    reference = torch.from_numpy(np.asarray(reference)).double()
    assert value.shape == reference.shape, name
    error = (value.detach() - reference).abs().max() / (reference.abs().max() or 1)
    assert error <= TOLERANCE, f"{name}: {error:.2e} off"


@pytest.mark.parametrize(
    "official,ours", [("G", "generator"), ("D", "discriminator"), ("G_ema", "generator_ema")]
)
def test_every_tensor_is_the_official_one_after_seven_iterations(trajectory, official, ours):
    model, data, _ = trajectory
    prefix = f"after/{official}:"
    state = getattr(model, ours).state_dict()
    names = [key[len(prefix) :] for key in data if key.startswith(prefix) and "resample_filter" not in key]
    assert set(names) == set(state)
    for name in names:
        check(f"{ours}.{name}", state[name], data[prefix + name])


def test_the_losses_are_the_official_ones(trajectory):
    _, data, computed = trajectory
    for losses, reference in zip(computed, data["losses"], strict=True):
        for name, value in zip(("loss_g", "path_length", "loss_d", "r1"), reference, strict=True):
            if np.isnan(value):
                assert name not in losses
            else:
                check(name, losses[name], value)


def test_the_path_length_mean_is_the_official_one_after_each_iteration(trajectory):
    _, data, computed = trajectory
    check("pl_mean", torch.stack([losses["mean"] for losses in computed]), data["pl_mean"])
