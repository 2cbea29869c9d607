"""Pictures out of tensors: exact values, layout, files."""

import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2.images import enlarged, grid, save_png, sheet, to_picture


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_a_picture_has_the_pixels_of_the_tensor(channels, mode):
    image = torch.randint(256, (channels, 5, 7), dtype=torch.uint8)
    picture = to_picture(image)
    assert picture.mode == mode and picture.size == (7, 5)
    assert np.array_equal(np.asarray(picture).reshape(5, 7, channels), image.permute(1, 2, 0))


def test_floats_are_rounded_and_clamped():
    row = torch.tensor([-2.0, -1.0, 0.0, 1 / 255, 0.5, 1.0, 2.0])
    picture = to_picture(row.expand(1, 1, 7))
    assert np.asarray(picture).tolist() == [[0, 0, 128, 128, 191, 255, 255]]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("count, columns", [(6, 3), (5, 3), (2, 4), (1, 1), (1, 3)])
def test_a_grid_lays_images_out_row_by_row_on_white(channels, count, columns):
    images = torch.randint(256, (count, channels, 4, 6), dtype=torch.uint8)
    sheet = np.asarray(grid(images, columns)).reshape(-1, 6 * columns, channels)
    assert len(sheet) == 4 * -(-count // columns)
    expected = np.full_like(sheet, 255)
    for k in range(count):
        y, x = 4 * (k // columns), 6 * (k % columns)
        expected[y : y + 4, x : x + 6] = images[k].permute(1, 2, 0)
    assert np.array_equal(sheet, expected)


def test_a_grid_of_floats_is_the_grid_of_their_pictures():
    images = torch.randn(3, 3, 4, 4)
    sheet = np.asarray(grid(images, 2))
    for k, (y, x) in enumerate([(0, 0), (0, 4), (4, 0)]):
        assert np.array_equal(sheet[y : y + 4, x : x + 4], np.asarray(to_picture(images[k])))


def test_a_png_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new/a.png"
    for color in (10, 20):
        save_png(Image.new("L", (4, 4), color), path)
        with Image.open(path) as picture:
            assert picture.format == "PNG" and picture.getpixel((0, 0)) == color
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_a_sheet_keeps_none_of_its_pictures():
    """So that a sheet of any number of pictures takes the memory of the sheet and of one picture."""
    alive: list[weakref.ref] = []

    def pictures():
        for k in range(12):
            assert sum(picture() is not None for picture in alive) <= 1
            picture = Image.new("L", (2, 2), k)
            alive.append(weakref.ref(picture))
            yield picture
            del picture

    assert np.asarray(sheet(pictures(), 4, 3))[::2, ::2].tolist() == np.arange(12).reshape(3, 4).tolist()


def test_an_enlarged_picture_has_squares_for_pixels():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.array_equal(enlarged(Image.fromarray(pixels), 4), np.kron(pixels, np.ones((4, 4))))
    assert enlarged(Image.fromarray(pixels), 1).size == (3, 2)
