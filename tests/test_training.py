"""The training loop: exact resume, several processes as one, lazy regularization, divergence."""

import copy
import itertools
import math
import os

import pytest
import pytorch_lightning as pl
import torch
import torch.multiprocessing as mp
from training_cases import TINY, Saver, assert_same_state, fit, make_model

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.augment.options import ADAOptions
from stylegan2.errors import InputError
from stylegan2.training.config import TrainingConfig
from stylegan2.training.data import TrainingData, check_batch
from stylegan2.training.divergence import Diverged, LossCheck
from stylegan2.training.draws import Draws
from stylegan2.training.ema import EMA
from stylegan2.training.losses import AdversarialLoss, losses
from stylegan2.training.module import StyleGAN2, frozen
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1
from stylegan2.training.regularizers.r2 import R2
from stylegan2.training.strategy import LeanDDP

pytestmark = pytest.mark.filterwarnings("ignore")


ADA_FAST = {"augment": "ada", "ada": ADAOptions(p=0.5, interval=3, speed=0.2)}


@pytest.mark.parametrize("options", [{}, ADA_FAST], ids=["none", "ada"])
def test_resumed_run_equals_uninterrupted_run(tmp_path, options):
    whole = fit(make_model(**options), 7)
    fit(make_model(**options), 4, Saver(tmp_path / "last.ckpt"))
    resumed = fit(make_model(seed=99, **options), 7, resume=tmp_path / "last.ckpt")
    if options:  # it was saved between two adjustments
        assert torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["augmentation.images"] == 8
        assert whole.augmentation.p in (pytest.approx(0.26), pytest.approx(0.5), pytest.approx(0.74))
    assert (resumed.iteration, resumed.images) == (7, 56)
    assert_same_state(whole, resumed, rtol=0, atol=0)
    assert whole.path_length_mean > 0
    states = [[o.state_dict()["state"] for o in m.optimizers()] for m in (whole, resumed)]
    for a, b in zip(*states):
        for key in a:
            torch.testing.assert_close(a[key], b[key], rtol=0, atol=0)


def test_checkpoint_holds_every_running_quantity_as_plain_data(tmp_path):
    model = fit(make_model(), 3, Saver(tmp_path / "last.ckpt"))
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    names = state["state_dict"]
    assert torch.equal(names["path_length_mean"], model.path_length_mean)
    assert torch.equal(names["generator_ema.mapping.w_avg"], model.generator.mapping.w_avg)
    assert not torch.equal(names["generator_ema.synthesis.b4.const"], names["generator.synthesis.b4.const"])
    assert len(state["optimizer_states"]) == 2 and all(o["state"] for o in state["optimizer_states"])
    assert state["stylegan2"]["images"] == 24
    assert not list(tmp_path.glob("*.tmp"))


class LossRecorder(pl.Callback):
    """Which losses each iteration computed."""

    def __init__(self):
        self.calls = []

    def on_train_batch_end(self, trainer, module, *_):
        self.calls += [(module.iteration - 1, name) for name in module.losses]


def record_calls(model, iterations):
    recorder = LossRecorder()
    fit(model, iterations, recorder)
    return recorder.calls


def test_lazy_intervals_count_iterations_not_optimizer_steps():
    calls = record_calls(make_model(r1=R1(gamma=1, every=4), path_length=PathLength(every=3)), 9)
    assert [i for i, name in calls if name == "r1"] == [0, 4, 8]
    assert [i for i, name in calls if name == "path_length"] == [0, 3, 6]
    assert [i for i, name in calls if name == "loss_g"] == list(range(9))


def test_losses_are_those_the_latest_iteration_computed():
    model = make_model(r1=R1(gamma=1, every=3), path_length=PathLength(every=2))
    fit(model, 4)
    assert set(model.losses) == {"loss_g", "loss_d", "r1"}  # the fourth iteration is number 3


def test_a_penalty_with_interval_zero_never_runs():
    calls = record_calls(make_model(r1=R1(gamma=1, every=0), path_length=PathLength(every=0)), 3)
    assert {name for _, name in calls} == {"loss_g", "loss_d"}


@pytest.mark.parametrize("correct", [True, False])
def test_lazy_regularization_corrects_adam_and_weight(correct):
    scalings = Scalings(lazy_regularization_correction=correct)
    model = make_model(scalings=scalings, learning_rate=0.002, r1=R1(gamma=1, every=16))
    opt_g, opt_d = model.configure_optimizers()
    c = 16 / 17 if correct else 1
    assert opt_d.param_groups[0]["lr"] == pytest.approx(0.002 * c)
    assert opt_d.param_groups[0]["betas"] == pytest.approx((0, 0.99**c))
    assert opt_g.param_groups[0]["lr"] == pytest.approx(0.002 * (2 / 3 if correct else 1))
    assert scalings.lazy(16).weight == (16 if correct else 1)


def test_gradient_accumulation_gives_the_gradient_of_the_whole_batch():
    """Without what couples samples (minibatch stddev), micro-batches add up to the whole, to rounding."""

    def run(batch_per_device):
        torch.manual_seed(3)
        z = torch.randn(8, 8)
        model = make_model(
            scalings=Scalings(minibatch_stddev=False),
            path_length=PathLength(every=0),
            style_mixing=0,
            batch_per_device=batch_per_device,
            r1=R1(gamma=1, every=1),
        ).double()
        order = iter(list(z.double().split(batch_per_device or 8)) * 100)
        model.draws.z = lambda n, like, width: next(order)
        freeze_noise(model)
        return fit(model, 2)

    assert_same_state_but_w_avg(run(None), run(2), rtol=1e-6, atol=1e-9)


def freeze_noise(model):
    synthesis = model.generator.synthesis
    forward = synthesis.forward
    synthesis.forward = lambda ws, noise="const": forward(ws, noise="const")


def assert_same_state_but_w_avg(a, b, **tolerance):
    for model in (a, b):  # one step of the running mean for each micro-batch
        for network in (model.generator, model.generator_ema):
            network.mapping.w_avg.zero_()
    assert_same_state(a, b, **tolerance)


class SharedDraws(Draws):
    """Of several processes, each takes its share of what one process would draw, in parts for micro-batches."""

    def __init__(self, rank, world, parts=1):
        self.rank, self.world, self.parts, self.waiting = rank, world, parts, []
        self.latents, self.images = torch.Generator().manual_seed(7), torch.Generator().manual_seed(8)

    def z(self, n, like, width):
        if not self.waiting:
            z = torch.randn(n * self.world * self.parts, width, generator=self.latents, dtype=torch.float64)
            self.waiting = list(z[self.rank :: self.world].split(n))
        return self.waiting.pop(0)

    def pixels(self, images):
        shape = (len(images) * self.world, *images.shape[1:])
        pixels = torch.randn(shape, generator=self.images, dtype=torch.float64)
        return pixels[self.rank :: self.world]


def distributed_model(rank, world, batch, micro_batch):
    """Latents, noise and samples arranged so that processes together see what one process sees.

    With micro-batches, nothing couples samples: neither minibatch stddev nor the mean of path lengths.
    """
    ada = ADAOptions(groups=[], interval=3, speed=0.2)  # p adapts, but no process draws for it
    path_length = PathLength(every=0 if micro_batch else 2, batch_shrink=1)
    model = make_model(
        batch=batch,
        batch_per_device=micro_batch if world > 1 else None,
        scalings=Scalings(minibatch_stddev=not micro_batch),
        seed=3,
        style_mixing=0,
        path_length=path_length,
        augment="ada",
        ada=ada,
    ).double()
    freeze_noise(model)
    model.draws = SharedDraws(rank, world, batch // world // micro_batch if micro_batch and world > 1 else 1)
    return model


class StridedData(TrainingData):
    """Sample n goes to process n mod world: strided stddev groups then stay within a process.

    With 8 samples in groups of 4, one process forms {0, 2, 4, 6} and {1, 3, 5, 7}; of two processes each
    holds one of them. So it is with 12 samples and three processes.
    """

    def train_dataloader(self):
        rank, world = self.trainer.global_rank, self.trainer.world_size
        whole = self.dataset.loader(self.module.batch, seed=self.seed)
        batches = [(x[rank::world], c[rank::world]) for x, c in itertools.islice(whole, 10)]
        return torch.utils.data.DataLoader(batches, batch_size=None)


def train_process(rank, world, port, path, batch, micro_batch):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(world), "RANK": str(rank), "NODE_RANK": "0"}
    torch.set_num_threads(1)
    strategy = {"strategy": LeanDDP(process_group_backend="gloo"), "devices": world} if world > 1 else {}
    model = distributed_model(rank, world, batch, micro_batch)
    model = fit(model, 4, loader=StridedData, **strategy)
    if rank == 0:
        torch.save(model.state_dict(), path)


@pytest.mark.parametrize(
    "processes, batch, micro_batch",
    [(2, 8, None), (3, 12, None), pytest.param(3, 12, 2, marks=pytest.mark.slow)],
)
def test_processes_train_as_one(tmp_path, processes, batch, micro_batch):
    """R1 and path length included; float64, so that only the order of sums differs. With accumulation R1 alone."""
    context = mp.get_context("spawn")
    for world in (1, processes):
        port = 29500 + os.getpid() % 1000 + world
        jobs = [
            context.Process(
                target=train_process,
                args=(rank, world, port, tmp_path / f"{world}.pt", batch, micro_batch),
            )
            for rank in range(world)
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join(400)
            assert job.exitcode == 0
    one, two = (torch.load(tmp_path / f"{world}.pt", weights_only=True) for world in (1, processes))
    assert (one["path_length_mean"] > 0) == (not micro_batch) and one["augmentation.images"] == batch
    for name in one:
        if micro_batch and name.endswith("w_avg"):
            continue  # one step of the running mean for each micro-batch
        torch.testing.assert_close(
            one[name], two[name], rtol=1e-8, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("name", ["loss_g", "r1"])
def test_a_nan_stops_the_run_and_names_iteration_loss_and_remedy(name, monkeypatch):
    class Breaking(R1):
        def penalty(self, training, real, c):
            return super().penalty(training, real, c) * (math.nan if training.iteration == 3 else 1)

    model = make_model()
    if name == "r1":
        model.regularizers["r1"] = Breaking(gamma=1, every=3)
    else:
        logistic = losses["logistic"]
        model.loss = AdversarialLoss(
            generator=lambda f, r: logistic.generator(f, r) * (math.nan if model.iteration == 3 else 1),
            discriminator=logistic.discriminator,
        )
    with pytest.raises(Diverged, match=rf"iteration 3 .*{name}.*learning_rate"):
        fit(model, 9)


def test_losses_looked_at_later_still_name_the_first_bad_iteration():
    """As on a GPU, where every look waits for it."""
    check = LossCheck()
    for iteration, value in enumerate((1.0, math.nan, math.inf)):
        check._unchecked.append((iteration, 8 * iteration, {"loss_g": torch.tensor(value)}))
    with pytest.raises(Diverged, match="iteration 1 .*loss_g is NaN"):
        check.check()
    check.check()  # they have been told


def test_frozen_restores_what_it_froze_and_nothing_else():
    network = make_model().discriminator
    network.b4.out.requires_grad_(False)
    before = {name: p.requires_grad for name, p in network.named_parameters()}
    with pytest.raises(KeyError), frozen(network):
        assert not any(p.requires_grad for p in network.parameters())
        raise KeyError
    assert {name: p.requires_grad for name, p in network.named_parameters()} == before


def one_iteration(model):
    """An iteration on random images without Lightning; returns the optimizers."""
    torch.manual_seed(5)
    real = torch.randint(0, 256, (model.batch, 3, 8, 8), dtype=torch.uint8)
    c = torch.eye(9)[torch.arange(model.batch) % 9]
    optimizers = model.configure_optimizers()
    model.iterate(real, c, *optimizers)
    return optimizers


@pytest.mark.parametrize("name", list(losses))
def test_every_adversarial_loss_trains(name):
    model = make_model(loss=name)
    before = copy.deepcopy(model.state_dict())
    one_iteration(model)
    assert all(value.isfinite() for value in model.losses.values())
    for key in ("generator.synthesis.b8.conv1.weight", "discriminator.b8.conv0.weight"):
        assert not torch.equal(before[key], model.state_dict()[key])


def test_an_augmentation_is_between_images_and_discriminator():
    model = make_model(augment="translation", batch=4)
    seen = []
    model.augmentation.register_forward_hook(lambda module, args, out: seen.append(len(out)))
    one_iteration(model)
    # G's loss; path length has none; D's loss on fakes and reals; R1.
    assert seen == [4, 4, 4, 4]
    assert all(value.isfinite() for value in model.losses.values())


def test_the_statistics_are_those_of_the_logits_that_d_was_trained_on():
    model = make_model(batch_per_device=4)
    logits = []
    loss = model.loss.discriminator
    record = lambda fake, real: (logits.append((fake.detach(), real.detach())), loss(fake, real))[1]  # noqa: E731
    model.loss = AdversarialLoss(generator=model.loss.generator, discriminator=record)
    one_iteration(model)
    fake, real = (torch.cat(parts) for parts in zip(*logits))
    assert len(real) == 8
    expected = {
        "r_t": (real > 0).float().mean() * 2 - 1,
        "logits_real": real.mean(),
        "logits_fake": fake.mean(),
    }
    assert {k: v.item() for k, v in model.statistics.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}
    )


def test_r2_is_r1_on_fakes_and_comes_at_its_own_interval():
    model = make_model(also=(R2(gamma=2.0, every=1),), style_mixing=0)
    one_iteration(model)
    assert "r2" in model.losses
    c = torch.eye(9)[:8]
    torch.manual_seed(3)
    fake = model.fake(c).detach()
    torch.manual_seed(3)
    expected = R1(gamma=2.0)(lambda images: model.score(images, c), fake)
    torch.testing.assert_close(model.penalty("r2", torch.zeros(8, 3, 8, 8), c), expected)


def test_a_parameter_that_a_loss_does_not_depend_on_gets_a_zero_gradient():
    """The last bias of the discriminator has none in R1, so Adam's second moment of it decays."""
    model = make_model(r1=R1(gamma=1, every=1))
    _, opt_d = one_iteration(model)
    state = opt_d.state[model.discriminator.mapping.fc0.bias]
    assert state["step"] == 2  # D's loss and R1
    assert opt_d.state[model.discriminator.b4.out.bias]["step"] == 2


def test_the_mixing_latents_do_not_move_the_mean_of_w():
    moved = []
    for probability in (0.0, 1.0):
        model = make_model(style_mixing=probability)
        torch.manual_seed(2)
        latents = iter(torch.randn(2, 4, 8))
        model.draws.z = lambda n, like, width, latents=latents: next(latents)
        model.ws(torch.eye(9)[:4])
        moved.append(model.generator.mapping.w_avg.clone())
    assert moved[0].any() and torch.equal(*moved)


def test_path_length_sees_mixed_styles():
    model = make_model(style_mixing=1.0)
    drawn = []
    model.draws.crossover = lambda num_ws, probability: drawn.append(probability) or 2
    model.penalty("path_length", torch.zeros(8, 3, 8, 8), torch.eye(9)[:8])
    assert drawn == [1.0]


def test_ema_halves_the_weight_of_the_past_in_a_half_life():
    ema = EMA(half_life_kimg=10, rampup=None)
    assert math.prod([ema.beta(100, 0)] * 100) == pytest.approx(0.5)


def test_ema_ramps_up_and_auto_follows_the_batch():
    assert EMA(half_life_kimg=10, rampup=0.05).beta(32, 20_000) == pytest.approx(0.5 ** (32 / 1000))
    assert EMA(rampup=None).beta(32, 0) == pytest.approx(0.5 ** (32 / 10_000))
    assert EMA().beta(32, 0) == 0


def test_ema_averages_parameters_and_copies_buffers():
    network = make_model().generator
    average = copy.deepcopy(network)
    with torch.no_grad():
        network.synthesis.b4.const.add_(1)
        network.mapping.w_avg.fill_(3)
    expected = average.synthesis.b4.const + (1 - 0.5**0.5)
    EMA(half_life_kimg=1, rampup=None).update(average, network, 500, 0)
    torch.testing.assert_close(average.synthesis.b4.const, expected)
    assert torch.equal(average.mapping.w_avg, network.mapping.w_avg)


def test_without_ema_samples_come_from_the_generator():
    model = make_model(ema=None)
    assert model.generator_ema is None and model.sampling_generator is model.generator


@pytest.mark.parametrize(
    "arguments,words",
    [((10, 4, 1, 4), "multiple of 4"), ((12, 6, 1, 4), "minibatch_group"), ((7, None, 2, 4), "2 processes")],
)
def test_batches_that_do_not_divide_are_refused_before_the_start(arguments, words):
    with pytest.raises(InputError, match=words):
        check_batch(*arguments)


@pytest.mark.parametrize("arguments", [(8, None, 1, 4), (8, 4, 2, 4), (4, 1, 4, 4), (6, 3, 2, None)])
def test_batches_that_divide_are_accepted(arguments):
    check_batch(*arguments)


def test_low_precision_blocks_train(tmp_path):
    low = {"low_precision_blocks": 1, "low_precision_dtype": "bfloat16"}
    torch.manual_seed(0)
    model = StyleGAN2(
        Generator(8, z_dim=8, w_dim=8, mapping_layers=1, **low, **TINY),
        Discriminator(8, **low, **TINY),
        TrainingConfig(regularizers=(R1(gamma=1, every=1), PathLength(every=1))),
        batch=4,
    )
    before = copy.deepcopy(model.state_dict())
    real = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    model.iterate(real, torch.zeros(4, 0), *model.configure_optimizers())
    assert all(value.isfinite() for value in model.losses.values())
    assert not torch.equal(
        before["generator.synthesis.b8.conv1.weight"], model.generator.synthesis.b8.conv1.weight
    )
