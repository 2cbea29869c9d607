"""The logit of held-out images in metrics.csv, and that looking at them changes nothing."""

import pytest
import torch
from scipy import stats
from training_cases import make_model

from stylegan2.data import ImageData, to_float
from stylegan2.files import read_csv
from stylegan2.tools.train import train_command
from stylegan2.training.held_out import area_under_curve, held_out_logits, overfitting

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def dataset():
    return ImageData("demo/smileys-emotion", resolution=8).open(progress=False)


def test_they_are_those_of_whole_micro_batches_and_of_as_many_generated_images(dataset):
    model = make_model(num_classes=0)
    assert held_out_logits(model, dataset, 8) is None
    dataset.hold_out(range(21))
    seen = []
    model.discriminator.register_forward_hook(lambda module, args, out: seen.append((args[0], out)))
    reals, fakes = held_out_logits(model, dataset, 8)
    images = torch.cat([images for images, _ in seen[::2]])
    torch.testing.assert_close(images, to_float(dataset[list(range(16))][0]))  # 16 = 2 micro-batches
    assert [len(images) for images, _ in seen] == [8] * 4
    assert torch.equal(reals, torch.cat([out for _, out in seen[::2]]))
    assert torch.equal(fakes, torch.cat([out for _, out in seen[1::2]]))
    z = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    generated = model.generator.synthesis(model.generator.mapping(z))
    torch.testing.assert_close(seen[1][0], generated)
    dataset.hold_out(range(6))  # fewer than a micro-batch, and no multiple of the minibatch-stddev group
    seen.clear()
    held_out_logits(model, dataset, 8)
    assert [len(images) for images, _ in seen] == [4, 4]


def test_they_leave_random_state_and_weights_alone(dataset):
    model = make_model(num_classes=0, augment="fixed")
    dataset.hold_out(range(8))
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    first, second = (torch.cat(held_out_logits(model, dataset, 8)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before) and torch.equal(first, second)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())  # w_avg, too


def test_the_area_under_the_curve_is_mann_and_whitneys_u():
    reals, fakes = torch.randint(0, 6, (7, 1)).float(), torch.randint(-2, 4, (5, 1)).float()
    u = stats.mannwhitneyu(reals.flatten(), fakes.flatten()).statistic
    assert area_under_curve(reals, fakes) == pytest.approx(u / 35)
    assert area_under_curve(reals + 10, fakes) == 1 and area_under_curve(reals - 10, fakes) == 0


def test_r_v_is_0_without_overfitting_and_1_where_held_out_images_look_generated():
    assert overfitting(real=2.0, fake=-2.0, held_out=2.0) == 0
    assert overfitting(real=2.0, fake=-2.0, held_out=-2.0) == 1
    assert overfitting(real=2.0, fake=-2.0, held_out=1.0) == 0.25
    assert overfitting(real=0.0, fake=0.0, held_out=1.0) is None


def test_a_run_logs_it_and_a_resumed_run_holds_out_the_same_images(tiny, tmp_path, capsys):
    args = [*tiny[:2], "--runs", str(tmp_path), "--name", "a", "--log_kimg", "0.016", "--data.holdout", "5%"]
    args += ["--augment", "ada", "--model.ada.interval", "1", "--threads", "1"]
    assert train_command(args) == 0
    assert "169 images from demo/smileys-emotion, 8 of them held out" in capsys.readouterr().out
    (row, *_) = rows = read_csv(tmp_path / "a" / "metrics.csv")
    assert len(rows) == 4
    real, fake, held_out = (float(row[f"logits_{name}"]) for name in ("real", "fake", "held_out"))
    assert float(row["r_v"]) == pytest.approx((real - held_out) / (real - fake), rel=1e-2)
    assert 0 <= float(row["auc_held_out"]) <= 1 and float(row["loss_d_held_out"]) > 0
    assert -1 <= float(row["r_t"]) <= 1 and 0 <= float(row["augment_p"]) <= 64 / 500_000
    checkpoint = tmp_path / "a" / "checkpoints" / "last.ckpt"
    before = torch.load(checkpoint, weights_only=True)["stylegan2"]["held_out"]
    more = ["--ckpt_path", "last", "--kimg", "0.08", "--seed", "5"]
    assert train_command([*args, *more]) == 0
    after = torch.load(checkpoint, weights_only=True)["stylegan2"]
    assert after["images"] == 80 and after["held_out"] == before and len(before) == 8
    assert "warning" not in capsys.readouterr().err


def test_it_is_told_if_the_images_were_trained_on_before(tiny, tmp_path, capsys):
    args = [*tiny[:2], "--runs", str(tmp_path), "--name", "a", "--threads", "1"]
    assert train_command([*args, "--kimg", "0.016"]) == 0
    capsys.readouterr()
    assert train_command([*args, "--ckpt_path", "last", "--data.holdout", "5%"]) == 0
    assert "was trained on the images that are held out" in capsys.readouterr().err
