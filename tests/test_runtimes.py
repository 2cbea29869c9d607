"""Runtimes make the images that PyTorch makes, and `auto` takes one only if it is faster and its images are equal."""

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2.__main__ import run
from stylegan2.benchmark.networks import bench_generate
from stylegan2.formats import Networks, formats
from stylegan2.networks.generator import Generator
from stylegan2.page.picture import Choice, Studio
from stylegan2.runtimes import Runtime, choice, runtimes
from stylegan2.runtimes.choice import choose
from stylegan2.runtimes.synthesis import synthesis_program, with_runtime
from stylegan2.tools.latents import Latent

NAMES = ["onnxruntime", "openvino"]
for package in ("onnx", "onnxscript", *NAMES):
    pytest.importorskip(package, reason=f'{package} is not installed: pip install "stylegan2[onnx,openvino]"')


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    options = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, "channel_base": 64, "num_classes": 2}
    g = Generator(16, **options).eval().requires_grad_(False)
    for name, value in g.named_parameters():
        if name.endswith("noise_strength"):
            value.fill_(0.5)
    return g


@pytest.fixture(scope="module")
def program(network):
    return synthesis_program(network)


@pytest.fixture(scope="module")
def checkpoint(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("runtimes") / "network.safetensors"
    formats["safetensors"].write(Networks(generator=network), path)
    return path


@pytest.mark.parametrize("noise", ["const", "none", "random"])
@pytest.mark.parametrize("name", NAMES)
def test_images_are_those_of_the_definition_in_float64(network, program, name, noise):
    served = with_runtime(network, program, runtimes[name], threads=1)
    exact = Generator(network.config, network.scalings).eval().double()
    exact.load_state_dict(network.state_dict())
    for batch in (1, 3):
        z, c = torch.randn(batch, 16), torch.eye(2)[torch.arange(batch) % 2]
        expected = exact(z.double(), c.double(), psi=0.7, noise="none" if noise == "none" else "const")
        if noise == "random":
            torch.manual_seed(1)
            expected = network(z, c, psi=0.7, noise="random").double()
            torch.manual_seed(1)
        found = served(z, c, psi=0.7, noise=noise)
        assert found.dtype == torch.float32
        assert torch.allclose(found.double(), expected, rtol=0, atol=1e-5)
    assert isinstance(network.synthesis, type(exact.synthesis))  # the network itself is not changed


def test_noise_none_and_const_are_two_pictures(network):
    z, c = torch.randn(1, 16), torch.eye(2)[:1]
    assert (network(z, c, noise="const") - network(z, c, noise="none")).abs().max() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_generate_writes_the_same_pictures(checkpoint, tmp_path, capsys, name):
    for runtime in ("torch", name):
        options = ["--seeds", "0-1", "--noise", "random", "--runtime", runtime]
        args = ["--checkpoint", str(checkpoint), "--out", str(tmp_path / runtime), *options]
        assert run("generate", args, "generate.py") == 0
    assert f"Runtime: {name}. The largest difference" in capsys.readouterr().out
    files = sorted(path.name for path in (tmp_path / "torch").iterdir())
    assert len(files) == 5
    for file in files:
        a, b = (np.asarray(Image.open(tmp_path / r / file)).astype(int) for r in ("torch", name))
        assert np.abs(a - b).max() <= 1  # a value between two levels may be rounded to either


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "command,args",
    [
        ("video", ["--seeds", "0-3", "--grid", "2x1", "--frames", "3", "--noise", "random", "--psi", "0.7"]),
        ("sheet", ["--kind", "classes", "--rows", "0-1", "--noise", "random"]),
    ],
)
def test_video_and_sheet_write_the_same_pictures(checkpoint, tmp_path, capsys, command, args, name):
    found = {}
    for runtime in ("torch", name):
        out = tmp_path / runtime
        path = str(out if command == "video" else out.with_suffix(".png"))
        options = ["--checkpoint", str(checkpoint), "--out", path, "--runtime", runtime, *args]
        assert run(command, options, f"stylegan2 {command}") == 0
        found[runtime] = sorted(out.iterdir()) if command == "video" else [out.with_suffix(".png")]
    assert f"Runtime: {name}. The largest difference" in capsys.readouterr().out
    assert len(found["torch"]) == len(found[name]) == (4 if command == "video" else 1)
    for paths in zip(found["torch"], found[name]):
        a, b = (np.asarray(Image.open(path)).astype(int) for path in paths)
        assert (
            a.std() > 10 and np.abs(a - b).max() <= 1
        )  # a value between two levels may be rounded to either


@pytest.mark.parametrize("name", NAMES)
def test_stored_noise_can_be_replaced_as_in_the_network(network, program, name):
    """The latents that `project` writes have noise maps of their own."""
    served = with_runtime(network, program, runtimes[name], threads=1)
    own = network.synthesis.b8.conv1.noise_const
    latent = Latent("a", torch.randn(network.num_ws, 16), {"b8.conv1.noise_const": torch.randn(8, 8)})
    a, b = (latent.image(g, 0.7, None, "const") for g in (network, served))
    assert torch.allclose(a, b, rtol=0, atol=1e-5)
    plain = Latent("a", latent.ws, {})
    assert (
        plain.image(served, 0.7, None, "const") - b
    ).abs().max() > 0.05  # the noise is the stored one again
    assert network.synthesis.b8.conv1.noise_const is own


def test_a_page_draws_by_the_runtime_and_projects_by_the_network(network, program):
    served = with_runtime(network, program, runtimes[NAMES[0]], threads=1)
    plain, studio = (Studio(network, "n.ckpt", [("a", torch.eye(2)[0])], None, g) for g in (None, served))
    a, b = (np.asarray(s.picture(Choice(seed=3, psi=0.7))).astype(int) for s in (plain, studio))
    assert np.abs(a - b).max() <= 1
    assert studio.network is network and studio.served is served


def test_a_runtime_that_is_not_installed_is_refused(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("stylegan2.runtimes.find_spec", lambda name: None if name == "openvino" else name)
    args = ["--checkpoint", str(checkpoint), "--out", str(tmp_path / "out"), "--runtime", "openvino"]
    assert run("generate", args, "generate.py") == 2
    message = capsys.readouterr().err
    assert "openvino is not installed" in message and 'pip install "stylegan2[openvino]"' in message


def fake(images):
    """A runtime that needs no time and returns these images."""
    return Runtime(about="a fake", packages=(), load=lambda model, threads, precision: lambda inputs: images)


@pytest.fixture
def image(network):
    z, c = choice._example(network)
    return network(z, c, noise="const").numpy()


@pytest.mark.parametrize(
    ("change", "images", "chosen"),
    [(0.0, 10**9, True), (0.01, 10**9, False), (np.nan, 10**9, False), (0.0, 1, False)],
    ids=["fast and equal", "another picture", "not a number", "too little work"],
)
def test_auto_takes_a_runtime_only_for_much_work_and_equal_pictures(
    network, program, image, monkeypatch, change, images, chosen
):
    monkeypatch.setattr(choice, "synthesis_program", lambda generator: program)
    monkeypatch.setattr(choice, "runtimes", {"fake": fake(image + np.float32(change))})
    monkeypatch.setattr(choice, "require", lambda name: choice.runtimes[name])
    served, sentence = choose(network, "auto", images)
    assert (served is not network) == chosen
    assert ("fake" in sentence) == chosen


def test_bench_times_the_installed_runtimes_beside_the_kernels():
    rows = bench_generate(8, "cpu", "float32", 1, 1, 64, False, served=NAMES)
    measured = {row.variant: row.ms for row in rows if row.name == "generate"}
    assert {"kernels", "reference", *NAMES} <= set(measured)
    assert all(ms > 0 for ms in measured.values())
