"""Advice for a set of images and a machine, and the command that it ends with."""

import math
import re
import shlex
from types import SimpleNamespace

import pytest
import torch
from image_sets import images_of, make_two_classes, noise, write_labels
from training_cases import make_model

from stylegan2.__main__ import main
from stylegan2.advice import gamma as gammas
from stylegan2.advice.gamma import CHANCE, Trial, conclusion, measure, probe
from stylegan2.advice.images import augmentation, classes, crop, duplicates, mirror, suggested_size
from stylegan2.advice.machine import Machine, batch, halved, memory_of, micro_batch, time
from stylegan2.augment import augmentations
from stylegan2.cli import build_data, build_model, train_parser, with_default_config
from stylegan2.data import ImageData, ImageDataset
from stylegan2.survey import Facts, Survey
from stylegan2.tools.advise import Advice, command
from stylegan2.training.losses import losses
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1, default_gamma


def of_sizes(*sizes: tuple[int, int]) -> Survey:
    """A survey of images of these (height, width), which no files stand behind."""
    facts = [
        Facts(height=h, width=w, mode="RGB", digest=f"{k}", hash=k, colors="00" * 48)
        for k, (h, w) in enumerate(sizes)
    ]
    return Survey(SimpleNamespace(names=[str(k) for k in range(len(facts))]), facts)


@pytest.mark.parametrize(
    "sizes, most, expected",
    [
        ([(64, 64)] * 9, 1024, 64),
        ([(300, 300)] * 9, 1024, 256),
        ([(300, 300)] * 9, 64, 64),
        ([(4000, 4000)] * 9, 1024, 1024),
        ([(5, 5)] * 9, 1024, 8),  # the least that D has
        ([(600, 610)] * 17 + [(40, 40)] * 3, 1024, 32),  # more than a tenth is small
        ([(600, 610)] * 18 + [(40, 40)] * 2, 1024, 512),  # no more than a tenth is
        ([(360, 640)] * 9, 1024, (256, 448)),  # 16:9 is about 7:4
        ([(640, 360)] * 9, 1024, (448, 256)),
        ([(360, 640)] * 9, 64, (32, 64)),
        ([(300, 300)] * 4 + [(300, 600)] * 5, 1024, 256),  # two shapes: square
    ],
)
def test_the_size_follows_from_the_sizes_and_the_machine(sizes, most, expected):
    size, advice = suggested_size(of_sizes(*sizes), most)
    if isinstance(expected, tuple):
        h, w = size
        assert math.sqrt(h * w) <= most and h <= sizes[0][0] and w <= sizes[0][1]
        assert abs(math.log(w / h * sizes[0][0] / sizes[0][1])) < 0.15  # a little is cut off
        if most == 1024:
            assert size == expected
    else:
        assert size == expected
    written = [int(side) for side in advice.options["data.resolution"].split(",")]
    assert ImageData("photos", written[0] if len(written) == 1 else tuple(written)).resolution == size


def test_a_size_below_what_the_images_allow_says_why():
    assert (
        "large enough for 256×256, this machine is not" in suggested_size(of_sizes((300, 300)), 64)[1].reason
    )
    assert "machine" not in suggested_size(of_sizes((300, 300)), 512)[1].reason


def test_padding_is_for_images_of_which_cropping_cuts_off_much():
    assert crop(of_sizes((100, 100), (100, 120), (100, 300)), 64).answer == "center"
    advice = crop(of_sizes((100, 200), (200, 100), (100, 100)), 64)
    assert (
        advice.options == {"data.crop": "pad"} and "cuts off 50% of an image in the median" in advice.reason
    )
    assert crop(of_sizes((100, 200)), (32, 64)).answer == "center"


def test_classes_need_enough_images_and_come_from_labels_first(tmp_path):
    def advice(path):
        return classes(Survey.of(images_of(path), progress=False))

    root = make_two_classes(tmp_path / "set")
    assert advice(root).answer == "none" and "2 classes with 3 to 3 images" in advice(root).reason
    for k in range(20):
        noise(root / f"cats/x{k}.png", 8, k)
        noise(root / f"dogs/x{k}.png", 8, k)
    assert advice(root).answer == "folders" and "dates or parts" in advice(root).reason
    names = images_of(root).names
    write_labels(root, [[name, [0.5, 1]] for name in names])
    assert advice(root).options == {"data.classes": "labels"}
    write_labels(root, [["absent.png", 0]])
    assert advice(root).answer == "folders"
    assert "found 46 outside" not in advice(root).reason
    assert advice(root / "cats").answer == "none" and "23 outside" in advice(root / "cats").reason


def test_small_sets_are_augmented():
    assert augmentation(19_999).options == {"model.augment": "ada"}
    assert augmentation(20_000).options == {"model.augment": "none"}
    assert "ada" in augmentations


def test_copies_are_told_and_mirroring_is_left_to_the_user(tmp_path):
    noise(tmp_path / "a.png", 8)
    found = Survey.of(images_of(tmp_path), progress=False)
    assert duplicates(found).answer == "none found"
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    assert duplicates(Survey.of(images_of(tmp_path), progress=False)).answer == "1"
    assert mirror().options == {} and "text" in mirror().reason


# ---- the machine


def test_the_micro_batch_is_the_largest_part_that_fits():
    model = make_model(batch=32)
    need = {size: memory_of(model, size) for size in (32, 16, 8, 4, 2)}
    assert need[32] - need[16] == pytest.approx(2 * (need[16] - need[8]))
    for size in (32, 16, 8, 4):
        assert micro_batch(model, Machine(torch.device("cpu"), int(need[size] / 0.8) + 1)) == size
    assert micro_batch(model, Machine(torch.device("cpu"), int(need[4] / 0.8) - 1)) is None
    assert [batch(n) for n in (8, 9, 31, 32, 10**6)] == [8, 8, 16, 32, 32]


def test_memory_holds_weights_gradients_moments_and_the_average():
    model = make_model(batch=32)
    state = sum(p.nbytes for n in (model.generator, model.discriminator) for p in n.parameters())
    assert memory_of(model, 0) == 4 * state + sum(p.nbytes for p in model.generator_ema.parameters())


def test_networks_fit_the_device_and_are_halved_where_memory_is_short():
    cpu, gpu = Machine(torch.device("cpu"), 1), Machine(torch.device("cuda"), 1)
    assert cpu.largest == 64 and gpu.largest == 1024
    options = {
        f"model.{n}.channel_{k}": v
        for n in ("generator", "discriminator")
        for k, v in [("base", "2048"), ("max", "64")]
    }
    assert cpu.networks(64).options == options
    assert gpu.networks(256).options["model.generator.channel_base"] == "16384"
    assert gpu.networks(512).options["model.discriminator.channel_base"] == "32768"
    assert set(halved(cpu.networks(64)).options.values()) == {"1024", "32"}


def test_a_run_on_a_cpu_lasts_at_most_half_a_day(monkeypatch):
    model, cpu = make_model(batch=32), Machine(torch.device("cpu"), 1)
    monkeypatch.setattr("stylegan2.advice.machine.training_flops", lambda *_: 1e6)
    for speed, kimg, text in (
        (1e6, 40, "11 hours"),  # 43,200 s of 1e6 operations per image
        (1e3, 1, "12 days"),  # the least
        (1e12, 25_000, "6.5 hours"),  # 0.03 s for each iteration of 32 images
    ):
        advice = time(model, cpu, speed)
        assert advice.options == {"kimg": str(kimg)} and advice.answer == f"roughly {text}"
    assert time(model, Machine(torch.device("cuda"), 1), 1e3).options == {"kimg": "25000"}


# ---- the probe of gamma


def trial(factor, loss, positive=0.8) -> Trial:
    return Trial(factor=factor, gamma=2.0, gradient=3.0, loss=loss, positive=positive)


def test_verdicts_are_those_of_the_limits():
    assert trial(1, 0.5).verdict == "usable" and trial(1, 0.5).penalty == 3
    assert trial(1, 0.05, 1).verdict == "D has won" and trial(1, 0.05, 0.9).verdict == "usable"
    assert trial(1, CHANCE).verdict == "D learns nothing" and trial(1, math.nan).verdict == "diverged"


def test_the_conclusion_prefers_the_rule_and_claims_no_more_than_it_knows():
    factor, text = conclusion([trial(f, 0.5) for f in (0.2, 1, 5)], 200)
    assert factor == 1 and "rules out no factor" in text and "between 0.2 and 5 times" in text
    factor, text = conclusion([trial(0.2, 0.01, 1), trial(1, 0.01, 1), trial(5, 0.5)], 200)
    assert (
        factor == 5 and "rules out factors 0.2 (D has won), 1 (D has won)" in text and "between" not in text
    )
    factor, text = conclusion([trial(f, CHANCE) for f in (0.2, 1, 5)], 200)
    assert factor == 1 and "tells nothing" in text
    slight = [Trial(factor=f, gamma=f, gradient=0.001, loss=0.5, positive=0.8) for f in (0.2, 1, 5)]
    factor, text = conclusion(slight, 200)
    assert factor == 1 and "gamma hardly acts yet" in text and "between" not in text
    factor, text = conclusion([], 9)
    assert factor == 1 and "time for 9 iterations" in text


def test_the_measurement_is_that_of_a_linear_discriminator():
    torch.manual_seed(0)
    a = torch.randn(3, 8, 8, dtype=torch.float64)
    images = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8)
    fakes = torch.randn(8, 3, 8, 8, dtype=torch.float64)

    def discriminator(x, c):
        return (x * a).sum(dim=(1, 2, 3))[:, None]

    model = SimpleNamespace(
        discriminator=discriminator,
        fake=lambda c: fakes + 0 * torch.randn(1),
        loss=losses["logistic"],
        batch=8,
        device="cpu",
    )
    before = torch.get_rng_state()
    gradient, loss, positive = measure(model, images, torch.zeros(8, 0), 0)
    assert torch.equal(torch.get_rng_state(), before)
    reals = images.double() / 127.5 - 1
    real, fake = ((x * a).flatten(1).sum(1) for x in (reals, fakes))
    assert gradient == pytest.approx(a.square().sum().item(), rel=1e-5)
    assert loss == pytest.approx((fake.exp().log1p().mean() + (-real).exp().log1p().mean()).item(), rel=1e-5)
    assert positive == (real > 0).double().mean().item()


def test_the_probe_changes_nothing_but_gamma():
    images, labels = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8), torch.zeros(16, 9)
    built = []

    def build(factor):
        built.append(factor)
        return make_model(r1=R1(gamma=10 * factor, every=2), path_length=PathLength(every=0))

    first, iterations = probe(build, images, labels, 1, iterations=6, progress=False)
    again, _ = probe(lambda factor: build(factor), images, labels, 1, iterations=6, progress=False)
    assert first == again and iterations == 6 and built == [0.2, 1, 5] * 2
    assert [t.gamma for t in first] == [2, 10, 50]
    assert first[0].gradient > first[2].gradient  # a larger gamma makes D flatter
    same, _ = probe(lambda factor: build(1), images, labels, 1, iterations=6, progress=False)
    assert len({(t.gradient, t.loss, t.positive) for t in same}) == 1


def test_the_time_of_the_probe_sets_its_iterations(monkeypatch):
    monkeypatch.setattr(gammas, "LEAST", 2)
    monkeypatch.setattr(gammas, "CYCLE", 2)
    monkeypatch.setattr(gammas, "MOST", 5)
    images, labels = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8), torch.zeros(16, 9)
    found, iterations = probe(lambda factor: make_model(), images, labels, 1e9, progress=False)
    assert iterations == 5 and len(found) == 3
    found, iterations = probe(lambda factor: make_model(), images, labels, 1e-9, progress=False)
    assert iterations == 0 and found == []


# ---- the command


def advise(capsys, *args: str) -> tuple[str, list[str]]:
    """What advise prints, and the arguments of training in it."""
    assert main(["advise", *args]) == 0
    out = capsys.readouterr().out
    line = re.search(r"^stylegan2 train (?:.*\\\n)*.*$", out, re.M).group().replace("\\\n", " ")
    return out, shlex.split(line)[2:]


@pytest.fixture
def drawings(tmp_path):
    for k in range(12):
        noise(tmp_path / f"a set's $(photos)/{k}.png", 40, k)
    return tmp_path / "a set's $(photos)"


def test_the_printed_command_is_one_that_training_accepts(drawings, capsys):
    out, args = advise(capsys, "--data.path", str(drawings), "--quick", "--accelerator", "cpu")
    config = train_parser().instantiate(train_parser().parse_args(with_default_config(args)))
    assert config.data.path == str(drawings) and config.data.resolution == 32 and config.batch == 8
    model = build_model(config, ImageDataset(build_data(config)), config.batch, config.batch_per_device)
    assert model.generator.image_size == (32, 32)
    gamma = float(re.search(r"R1 gamma +([\d.e-]+)\. ", out).group(1))
    assert gamma == pytest.approx(default_gamma(32, 8), rel=1e-2) == model.regularizers["r1"].gamma
    assert "was not probed" in out and "Mirror      ask yourself" in out


@pytest.mark.filterwarnings("ignore:Unreadable images are skipped")
def test_the_probe_prints_a_table(drawings, capsys, monkeypatch):
    monkeypatch.setattr(gammas, "LEAST", 1)
    monkeypatch.setattr(gammas, "CYCLE", 2)
    monkeypatch.setattr(gammas, "MOST", 4)
    (drawings / "broken.png").write_text("x", encoding="utf-8")
    options = ["--data.path", str(drawings), "--data.resolution", "8,12", "--probe_seconds", "600"]
    out, args = advise(capsys, *options, "--accelerator", "cpu")
    rows = re.findall(r"^(0\.2|1|5) +\S+ +\S+ +\S+ +\S+ +\S+ +\d+% +\w+", out, re.M)
    assert rows == ["0.2", "1", "5"] and "for 4 iterations with each value" in " ".join(out.split())
    config = train_parser().parse_args(with_default_config(args))
    assert config.data.unreadable == "skip"
    assert build_data(config).resolution == (8, 12)


def test_a_factor_that_the_probe_prefers_is_in_the_command():
    pieces = [Advice("R1 gamma", "1", "", {"model.r1.gamma": "0.5"})]
    assert (
        command({"data.path": "it's"}, pieces)
        == """stylegan2 train --data.path 'it'"'"'s' --model.r1.gamma 0.5"""
    )


@pytest.mark.parametrize(
    "args, message",
    [
        (["--data.path", "SET", "--data.resolution", "30"], "power of two"),
        (["--data.path", "SET", "--probe_seconds", "0"], "probe_seconds above 0"),
        (["--data.path", "SET/few"], "at least 8 images"),
        (["--data.path", "SET/absent"], "found nothing|no such|Expected"),
    ],
)
def test_bad_input_is_refused(drawings, tmp_path, capsys, args, message):
    noise(drawings / "few/a.png", 8)
    assert main(["advise", *(arg.replace("SET", str(drawings)) for arg in args)]) == 2
    assert re.search(message, capsys.readouterr().err)
