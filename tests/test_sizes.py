"""Images that are not square: sizes, networks, decoding, and a run from training to samples."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2 import Discriminator, Generator, load_generator
from stylegan2.__main__ import run
from stylegan2.data import ImageData
from stylegan2.data.decoding import decode
from stylegan2.errors import InputError
from stylegan2.networks.config import GeneratorConfig
from stylegan2.sizes import divided, side
from stylegan2.training.regularizers.path_length import PathLength

SMALL = {"channel_base": 128, "channel_max": 8, "mapping_layers": 2}


@pytest.mark.parametrize(
    "size, resolution, base",
    [((192, 320), 256, (3, 5)), ((256, 512), 256, (4, 8)), ((96, 96), 128, (3, 3)), ((20, 12), 16, (5, 3))],
)
def test_sides_are_halved_until_the_lowest_resolution_is_about_4x4(size, resolution, base):
    assert divided(size) == {"resolution": resolution, "base": base}
    assert GeneratorConfig(resolution=resolution, base=base).image_size == size


def test_squares_of_a_power_of_two_stay_as_they_are():
    assert divided(64) == divided((64, 64)) == {"resolution": 64}
    assert GeneratorConfig(resolution=64).image_size == (64, 64) and side((64, 64)) == 64


@pytest.mark.parametrize("size, near", [((100, 100), "96×96"), ((192, 300), "192×320"), ((17, 64), "16×64")])
def test_other_sizes_are_refused_with_a_near_one(size, near):
    with pytest.raises(ValueError, match=f"{near} is near"):
        divided(size)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_networks_make_and_see_images_that_are_not_square(architecture):
    g = Generator((24, 40), z_dim=8, w_dim=8, architecture=architecture, **SMALL)
    d = Discriminator((24, 40), architecture=architecture, **SMALL)
    images = g(torch.randn(4, 8))
    assert images.shape == (4, 3, 24, 40) and d(images).shape == (4, 1)
    sizes = [tuple(getattr(g.synthesis, f"b{r}").conv1.noise_const.shape) for r in (4, 8, 16, 32)]
    assert sizes == [(3, 5), (6, 10), (12, 20), (24, 40)]
    with pytest.raises(ValueError, match=r"shape \(N, 3, 24, 40\), got \(4, 3, 40, 24\)"):
        d(images.mT)


def test_transposed_networks_make_and_see_transposed_images():
    """With transposed kernels, constants and noise: nothing mixes up height and width."""
    options = SMALL | {"z_dim": 8, "w_dim": 8}
    wide, tall = (Generator(size, **options).double().eval() for size in ((16, 48), (48, 16)))
    for name, value in wide.state_dict().items():
        if name.endswith("noise_strength"):
            value.fill_(0.5)
    transposed = {n: v.mT if v.ndim == 4 or "const" in n else v for n, v in wide.state_dict().items()}
    tall.load_state_dict(transposed)
    z = torch.randn(2, 8).double()
    images = wide(z, noise="const")
    torch.testing.assert_close(images.mT, tall(z, noise="const"), rtol=1e-9, atol=1e-10)
    wide, tall = (Discriminator(size, **SMALL).double() for size in ((16, 48), (48, 16)))
    transposed = {n: v.mT if v.ndim == 4 else v for n, v in wide.state_dict().items()}
    fc = transposed["b4.fc.weight"]
    transposed["b4.fc.weight"] = fc.view(len(fc), -1, *wide.config.base).mT.reshape(len(fc), -1)
    tall.load_state_dict(transposed)
    torch.testing.assert_close(wide(images), tall(images.mT), rtol=1e-9, atol=1e-10)


def test_the_path_length_is_divided_by_the_root_of_all_pixels():
    ws = torch.randn(2, 1, 4, dtype=torch.float64, requires_grad=True)

    def images(ws):  # d(sum of an image)/dw is 24·40 in each of 4 dimensions
        return ws.sum(2)[..., None, None].expand(2, 1, 24, 40)

    expected = torch.full((2,), 2 * 24 * 40 / (24 * 40) ** 0.5, dtype=torch.float64)
    torch.testing.assert_close(PathLength().lengths(images, ws, torch.ones_like), expected)


def picture(width, height):
    random = np.random.RandomState(0)
    return Image.fromarray(random.randint(0, 256, (height, width, 3), dtype=np.uint8))


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("width, height, box", [(120, 90, (0, 9, 120, 81)), (200, 60, (50, 0, 150, 60))])
def test_the_largest_centered_part_of_the_aspect_ratio_is_kept(width, height, box):
    image = picture(width, height)
    expected = image.resize((40, 24), Image.Resampling.LANCZOS, box, 3.0)
    assert np.array_equal(decode(png(image), (24, 40), 3).transpose(1, 2, 0), np.asarray(expected))


def test_padding_keeps_the_whole_image_between_white_or_transparent_margins():
    image = picture(100, 100)
    found = decode(png(image), (24, 40), 3, crop="pad").transpose(1, 2, 0)
    assert (found[:, :8] == 255).all() and (found[:, 32:] == 255).all()
    resized = image.resize((24, 24), Image.Resampling.LANCZOS, None, 3.0)
    assert np.array_equal(found[:, 8:32], np.asarray(resized))
    alpha = decode(png(image), (24, 40), 4, crop="pad")[3]
    assert (alpha[:, :8] == 0).all() and (alpha[:, 8:32] == 255).all()


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="192×320 is near"):
        ImageData("demo", (192, 300))


@pytest.mark.filterwarnings("ignore")
def test_a_run_on_images_that_are_not_square(tmp_path, capsys):
    options = ["--data.resolution", "[24,40]", "--data.crop", "pad", "--kimg", "0.016", "--batch", "8"]
    options += ["--model.generator.channel_base", "128", "--model.discriminator.channel_base", "128"]
    options += ["--accelerator", "cpu"]
    place = ["--runs", str(tmp_path), "--name", "x"]
    assert run("train", options + place, "train.py") == 0
    assert "24×40" in capsys.readouterr().out
    checkpoint = tmp_path / "x" / "checkpoints" / "last.ckpt"
    assert load_generator(checkpoint)[0].image_size == (24, 40)
    width, height = Image.open(tmp_path / "x" / "samples" / "kimg00000.016.png").size
    assert width % 40 == 0 and height % 24 == 0
    assert run("train", ["--ckpt_path", "last", "--kimg", "0.024", *place], "train.py") == 0
    generate = ["--checkpoint", str(checkpoint), "--seeds", "0-3", "--out", str(tmp_path / "out")]
    assert run("generate", generate, "generate.py") == 0
    assert Image.open(tmp_path / "out" / "seed0000.png").size == (40, 24)
