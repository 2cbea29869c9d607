"""What a run costs is told in time, in disk space, and in units in which it is no 0."""

import io
import time
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stylegan2.data import ImageData
from stylegan2.errors import InputError
from stylegan2.networks.config import DiscriminatorConfig, GeneratorConfig
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.tools.ablate import ablate_command
from stylegan2.training import cost
from stylegan2.training.config import TrainingConfig
from stylegan2.training.module import StyleGAN2

CPU = torch.device("cpu")
SMALL = {"channel_base": 512, "channel_max": 32}


def make_model(resolution=32, **options) -> StyleGAN2:
    options = SMALL | options
    generator = Generator(
        GeneratorConfig(resolution=resolution, z_dim=32, w_dim=32, mapping_layers=2, **options)
    )
    discriminator = Discriminator(DiscriminatorConfig(resolution=resolution, **options))
    return StyleGAN2(generator, discriminator, TrainingConfig(), batch=8)


def test_convolutions_are_most_of_what_pytorch_counts_for_a_network():
    model = make_model()
    for network, inputs in (
        (model.generator, torch.randn(1, 32)),
        (model.discriminator, torch.randn(1, 3, 32, 32)),
    ):
        with FlopCounterMode(display=False) as counter:
            network.eval()(inputs)
        assert 0.6 < cost.convolution_flops(network.config) / counter.get_total_flops() <= 1


def test_a_256_run_on_a_cpu_of_150_gflops_is_told_to_take_two_years_and_what_fits_instead():
    g = GeneratorConfig(resolution=256, channel_base=16384)
    d = DiscriminatorConfig(resolution=256, channel_base=16384)
    model = SimpleNamespace(
        generator=SimpleNamespace(config=g),
        discriminator=SimpleNamespace(config=d),
        regularizers={r.network: r for r in TrainingConfig().regularizers},
        batch=32,
    )
    text = cost.time_on_cpu(model, 25000, 150e9)
    assert "roughly 2 years" in text or "roughly 2.1 years" in text or "roughly 1.9 years" in text
    assert "--data.resolution 64 --kimg" in text and "--model.generator.channel_base 2048" in text
    assert "hours with" in text and "GPU" in text


def test_a_short_run_is_told_its_duration_alone():
    text = cost.time_on_cpu(make_model(), 40, 150e9)
    assert text.startswith("Duration   roughly") and "--data.resolution" not in text


def test_small_networks_take_the_time_in_which_their_ops_start():
    """5,000 iterations of 0.03 s, though their convolutions take seconds."""
    assert "roughly 2.5 minutes" in cost.time_on_cpu(make_model(), 40, 1e15)


def test_reading_images_that_are_not_in_memory_counts():
    model = make_model()
    assert "roughly 2.5 minutes" in cost.time_on_cpu(model, 40, 1e15, reading=0.0)
    text = cost.time_on_cpu(model, 40, 1e15, reading=0.09)  # an hour more
    assert "roughly 1 hour for 40 kimg, by the speed of convolutions and of reading images" in text


def test_the_time_to_read_an_image_is_measured(monkeypatch):
    dataset = ImageData("demo:smileys-emotion", 8, cache_gb=0).open(progress=False)
    monkeypatch.setattr(cost, "usable_cpus", lambda: 1)
    monkeypatch.setattr(dataset, "read", lambda row: time.sleep(0.01))
    assert 0.01 <= cost.reading_seconds(dataset) < 0.1
    assert cost.reading_seconds(ImageData("demo:smileys-emotion", 8).open(progress=False)) == 0


def test_the_speed_of_a_convolution_is_that_of_a_computer():
    assert 1e8 < cost.convolution_speed(CPU, seconds=0.01) < 1e14


def test_the_size_of_a_checkpoint_is_that_of_weights_average_and_moments(tmp_path):
    model = make_model()
    optimizers = model.configure_optimizers()
    for optimizer in optimizers:
        for p in optimizer.param_groups[0]["params"]:
            p.grad = torch.zeros_like(p)
        optimizer.step()
    state = {"state_dict": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers]}
    torch.save(state, tmp_path / "last.ckpt")
    assert cost.checkpoint_bytes(model) == pytest.approx((tmp_path / "last.ckpt").stat().st_size, rel=0.15)


def test_the_disk_space_over_a_run_comes_with_advice_if_it_is_much(monkeypatch, tmp_path):
    monkeypatch.setattr(cost, "checkpoint_bytes", lambda model: 660_000_000)
    many = SimpleNamespace(kimg=25000, snapshot_kimg=200, keep=None)
    text = cost.disk(None, many, tmp_path)
    assert "126 checkpoints of 660 MB, 83 GB" in text and "--keep" in text
    few = SimpleNamespace(kimg=25000, snapshot_kimg=200, keep=3)
    assert "5 checkpoints of 660 MB, 3.3 GB" in cost.disk(None, few, tmp_path)
    assert "all 126 would take 83 GB" in cost.disk(None, few, tmp_path)
    usage = SimpleNamespace(free=1e9)
    monkeypatch.setattr(cost.shutil, "disk_usage", lambda path: usage)
    assert "only 1 GB are free" in cost.disk(None, few, tmp_path)


@pytest.mark.parametrize(
    "rate,text",
    [
        (1234, "1.2 kimg/s"),
        (12, "0.012 kimg/s"),
        (9.5, "9.5 img/s"),
        (0.5, "0.5 img/s"),
        (0.004, "250 s/img"),
    ],
)
def test_a_speed_is_no_zero(rate, text):
    assert cost.images_per_second(rate) == text


def test_a_duration_is_given_in_its_largest_unit():
    told = [
        cost.duration(s) for s in (0.5, 1, 90, 3600, 86400 * 12, 86400 * 365.25 * 2.13, 86400 * 365.25 * 1234)
    ]
    assert told == ["0.5 seconds", "1 second", "1.5 minutes", "1 hour", "12 days", "2.1 years", "1,234 years"]


def test_the_bar_of_a_slow_run_shows_no_zero():
    from stylegan2.training.callbacks import Progress

    out, progress = io.StringIO(), Progress(25000)
    progress.on_train_start(SimpleNamespace(is_global_zero=True), SimpleNamespace(images=0))
    bar = progress.bar
    bar.fp, bar.start_t = out, bar.start_t - 3600
    bar.n = 0.032
    text = str(bar)
    bar.close()
    assert " 0.032/25000 kimg" in text and "s/img" in text and "0.0" not in text.replace("0.032", "")


@pytest.mark.parametrize("seconds, refused", [(100, True), (10, False)])
def test_a_study_of_more_than_an_hour_asks_to_be_confirmed(tiny, tmp_path, monkeypatch, seconds, refused):
    """6 variants and 3 controls of `all`, 54 runs."""
    monkeypatch.setattr(cost, "training_seconds", lambda model, kimg, device: seconds)
    monkeypatch.setattr("stylegan2.ablation.looks.run_all", lambda *args, **options: 2)
    args = [*tiny, "--out", str(tmp_path / "out")]
    if refused:
        with pytest.raises(InputError, match=r"\d\d runs of 0.064 kimg take roughly 1.\d hours .*--yes"):
            ablate_command(args)
        assert not (tmp_path / "out").exists()
        args.append("--yes")
    assert ablate_command(args) == 128 + 2
