"""Exported generators: torch.export and ONNX give the generator's images, for any batch, psi and noise."""

import pytest
import torch

from stylegan2 import Generator
from stylegan2.__main__ import main
from stylegan2.errors import InputError
from stylegan2.formats import Networks, exported, formats, load, onnx, sampler

SMALL = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 8, "mapping_layers": 2}


def generator(**options):
    g = Generator(8, **(SMALL | options)).eval()
    g.mapping.w_avg.normal_()
    for name, parameter in g.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.3)
    return g.requires_grad_(False)


@pytest.mark.parametrize("format,classes", [(exported, 0), (onnx, 3)], ids=["export", "onnx"])
def test_the_images_are_those_of_the_generator(format, classes, tmp_path):
    if format is onnx:
        [pytest.importorskip(name) for name in onnx.NEEDED]
    g = generator(num_classes=classes)
    path = tmp_path / "g.bin"
    assert format.write(Networks(generator=g), path)
    sample = format.run(path)
    for n in (1, 2, 5):
        z, c = torch.randn(n, 8), torch.eye(3)[torch.arange(n) % 3] if classes else None
        for psi in (1.0, 0.5):
            expected = g(z, c, psi=psi, noise="const")
            torch.testing.assert_close(sample(z, psi, c), expected, rtol=1e-4, atol=1e-5)
    if format is onnx:
        noise = {
            f"noise_{name.replace('.', '_')}": value for name, value in sampler.Sampler(g).noise().items()
        }
        none = {name: torch.zeros_like(value) for name, value in noise.items()}
        z, c = torch.randn(2, 8), torch.eye(3)[:2] if classes else None
        torch.testing.assert_close(sample(z, 1.0, c, **none), g(z, c, noise="none"), rtol=1e-4, atol=1e-5)
        each = {name: torch.randn(2, *value.shape[1:]) for name, value in noise.items()}
        images = sample(z, 1.0, c, **each)
        one = {name: value[1:] for name, value in each.items()}
        alone = sample(z[1:], 1.0, None if c is None else c[1:], **one)
        torch.testing.assert_close(images[1:], alone, rtol=1e-4, atol=1e-5)


def test_convert_verifies_an_exported_program(tmp_path, capsys):
    formats["native"].write(Networks(generator=generator(low_precision_blocks=1)), tmp_path / "g.ckpt")
    assert main(["convert", str(tmp_path / "g.ckpt"), str(tmp_path / "g.pt2"), "--verify"]) == 0
    out = capsys.readouterr().out
    assert "compute in float32" in out
    difference = float(out.split("largest difference of pixels is ")[1].split()[0])
    assert difference < 0.1  # float16 against float32


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"onnxruntime.*stylegan2\[onnx\]"):
        onnx.write(Networks(generator=generator()), tmp_path / "g.onnx")


def test_an_exported_program_is_no_checkpoint(tmp_path):
    exported.write(Networks(generator=generator()), tmp_path / "g.pt2")
    with pytest.raises(InputError):
        load(tmp_path / "g.pt2")
