"""The data set: what it reads, how it converts, what it refuses, and the order of training images."""

import io
import itertools
import json
import math
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from stylegan2.data.dataset import ImageData, ImageDataset, InfiniteSampler, to_float, to_uint8
from stylegan2.errors import InputError
from stylegan2.tools.pack import pack

RED, BLUE = (255, 0, 0), (0, 0, 255)


def save(path: Path, color=RED, size=(8, 8), mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)
    return path


def noise(path: Path, size: int, seed: int = 0, **options) -> np.ndarray:
    """Saves a random RGB image; returns its pixels (size, size, 3)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def zipped(folder: Path, prefix: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for item in folder.rglob("*"):
            file.write(item, prefix + item.relative_to(folder).as_posix())
    return path


def write_labels(folder: Path, labels) -> None:
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))


def pixel(path: Path, channels: int = 3) -> list[int]:
    """The middle pixel of the folder's first image."""
    image, _ = ImageDataset(path, 8, channels=channels)[0]
    assert image.dtype == torch.uint8 and image.shape == (channels, 8, 8)
    return image[:, 4, 4].tolist()


@pytest.fixture
def two_classes(tmp_path) -> Path:
    root = tmp_path / "set"
    for k in range(3):
        noise(root / f"cats/{k}.png", 8, k)
        noise(root / f"dogs/{k}.png", 8, 10 + k)
    return root


@pytest.fixture
def damaged(tmp_path) -> Path:
    """Five readable images, classes 0..4, among a truncated png, a truncated jpg and a text called png."""
    root = tmp_path / "damaged"
    names = [f"{k}.png" for k in range(5)]
    for k, name in enumerate(names):
        save(root / name, (k, 0, 0))
    for name in ("0a.jpg", "2a.png"):
        noise(root / name, 64)
        (root / name).write_bytes((root / name).read_bytes()[:-300])
    (root / "3a.png").write_text("not an image")
    labels = [[name, k] for k, name in enumerate(names)]
    write_labels(root, labels + [[name, 0] for name in ("0a.jpg", "2a.png", "3a.png")])
    return root


# What is found


def test_nested_folders_and_upper_case_extensions_are_found_in_a_fixed_order(tmp_path):
    for name in ("b.PNG", "a/deep/er/x.JPG", "a/y.webp", "c.jpeg", "d.Bmp"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    save(tmp_path / ".hidden/x.png")
    dataset = ImageDataset(tmp_path, 8)
    assert dataset.names == ["a/deep/er/x.JPG", "a/y.webp", "b.PNG", "c.jpeg", "d.Bmp"]
    assert len(dataset) == dataset.num_images == 5 and dataset.num_classes == 0
    assert dataset[0][1].shape == (0,)


@pytest.mark.parametrize("prefix", ["", "top/"])
def test_a_zip_is_read_like_its_folder(two_classes, prefix):
    folder = ImageDataset(two_classes, 8, classes="folders")
    path = zipped(two_classes, prefix)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("__MACOSX/cats/._0.png", b"resource fork")
    packed = ImageDataset(path, 8, classes="folders")
    assert packed.names == folder.names and packed.class_names == folder.class_names
    for (a, la), (b, lb) in zip(packed, folder, strict=True):
        assert torch.equal(a, b) and torch.equal(la, lb)


def test_the_demo_is_small_has_nine_classes_and_is_readable():
    dataset = ImageDataset("demo", 32, classes="folders")
    dataset.scan(progress=False)
    assert dataset.num_images == 1906 and dataset.num_classes == 9 and dataset.in_memory
    assert "animals-nature" in dataset.class_names
    assert Path(dataset.source.path).stat().st_size <= 3_000_000


# How it is converted


def test_an_image_of_the_right_size_is_kept_exactly(tmp_path):
    pixels = noise(tmp_path / "a.png", 16)
    assert np.array_equal(ImageDataset(tmp_path, 16)[0][0], pixels.transpose(2, 0, 1))


def test_palette_gray_and_bilevel_convert(tmp_path):
    Image.new("RGB", (8, 8), RED).quantize().save(tmp_path / "a.png")
    assert pixel(tmp_path) == list(RED)
    save(tmp_path / "a.png", 100, mode="L")
    assert pixel(tmp_path) == [100, 100, 100] and pixel(tmp_path, 1) == [100]
    save(tmp_path / "a.png", 1, mode="1")
    assert pixel(tmp_path) == [255, 255, 255]
    save(tmp_path / "a.png", RED)
    assert pixel(tmp_path, 1) == [76]  # 0.299 · 255, ITU-R 601


def test_transparency_shows_white_or_is_kept_as_alpha(tmp_path):
    save(tmp_path / "a.png", (*RED, 0), mode="RGBA")
    assert pixel(tmp_path) == [255, 255, 255] and pixel(tmp_path, 1) == [255]
    assert pixel(tmp_path, 4)[3] == 0
    save(tmp_path / "a.png", (0, 0, 0, 102), mode="RGBA")
    assert pixel(tmp_path) == [153, 153, 153] and pixel(tmp_path, 4) == [0, 0, 0, 102]
    save(tmp_path / "a.png", (0, 102), mode="LA")
    assert pixel(tmp_path) == [153, 153, 153]
    save(tmp_path / "a.png", RED)
    assert pixel(tmp_path, 4) == [*RED, 255]


def test_a_palette_and_rgb_with_a_transparent_colour_show_white(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, *BLUE])
    image.save(tmp_path / "a.png", transparency=1)
    assert pixel(tmp_path) == [255, 255, 255]
    image.save(tmp_path / "a.png", transparency=0)
    assert pixel(tmp_path) == list(BLUE)
    save(tmp_path / "a.png", RED, transparency=RED)
    assert pixel(tmp_path) == [255, 255, 255]


def test_alpha_does_not_bleed_hidden_colours_when_resized(tmp_path):
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, 1::2] = (0, 255, 0, 0)  # invisible green between lines of visible red
    pixels[:, ::2] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    red, green, _, alpha = pixel(tmp_path, 4)
    assert red > 250 and green < 5 and 120 < alpha < 136


@pytest.mark.parametrize("value, expected", [(65535, 255), (0, 0), (32896, 128), (25700, 100), (300, 1)])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path, value, expected):
    Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / "a.png")
    assert pixel(tmp_path) == [expected] * 3 and pixel(tmp_path, 1) == [expected]


def test_cmyk_converts(tmp_path):
    save(tmp_path / "a.jpg", (0, 255, 255, 0), mode="CMYK", quality=95)
    red, green, blue = pixel(tmp_path)
    assert red > 250 and green < 5 and blue < 5


@pytest.mark.parametrize(
    "orientation, turn",
    [
        (2, np.fliplr),
        (3, lambda x: np.rot90(x, 2)),
        (4, np.flipud),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: np.rot90(x, 2).transpose(1, 0, 2)),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = noise(tmp_path / "a.png", 8, exif=exif)
    assert np.array_equal(ImageDataset(tmp_path, 8)[0][0].permute(1, 2, 0), turn(pixels))


def test_the_centre_square_is_taken(tmp_path):
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = RED
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "b.png")
    for image, _ in ImageDataset(tmp_path, 8):
        assert (image == torch.tensor(RED).view(3, 1, 1)).all()


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_resizing_is_antialiased(tmp_path, extension):
    """A one-pixel checkerboard becomes gray, not black or white."""
    board = np.indices((512, 512)).sum(0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / f"a.{extension}", quality=95)
    image = ImageDataset(tmp_path, 32)[0][0].int()
    assert (image - 127.5).abs().max() < 4


def test_jpeg_scaled_while_decoding_differs_little_from_full_decoding(tmp_path):
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).resize((800, 800), Image.BICUBIC)
    smooth.save(tmp_path / "a.jpg", quality=95)
    full = np.asarray(Image.open(tmp_path / "a.jpg").resize((64, 64), Image.LANCZOS), float)
    image = ImageDataset(tmp_path, 64)[0][0].permute(1, 2, 0).numpy()
    assert np.sqrt(((image - full) ** 2).mean()) < 1


def test_smaller_images_are_enlarged(tmp_path):
    save(tmp_path / "a.png", RED, (3, 5))
    assert pixel(tmp_path) == list(RED)


def test_mirror_doubles_the_set_with_flipped_images(two_classes):
    plain = ImageDataset(two_classes, 8, classes="folders")
    mirrored = ImageDataset(two_classes, 8, classes="folders", mirror=True)
    assert len(mirrored) == 12 and mirrored.num_images == 6
    for i in range(6):
        image, label = plain[i]
        assert torch.equal(mirrored[i][0], image) and torch.equal(mirrored[i + 6][1], label)
        assert np.array_equal(mirrored[i + 6][0].numpy(), image.numpy()[:, :, ::-1])
    images, labels = mirrored[[7, 0, 11]]
    assert torch.equal(images, torch.stack([mirrored[i][0] for i in (7, 0, 11)]))
    assert labels.shape == (3, 2)
    assert torch.equal(plain[0][0], mirrored[0][0])  # flipping has not touched the cache
    pytest.raises(IndexError, mirrored.__getitem__, 12)


def test_float_and_uint8_are_inverse():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert to_float(values)[[0, 255]].tolist() == [-1, 1]
    assert to_uint8(torch.tensor([-3.0, 3.0, 0.0])).tolist() == [0, 255, 128]


# Labels


def test_folders_are_classes_in_the_order_of_their_names(two_classes):
    dataset = ImageDataset(two_classes, 8, classes="folders")
    assert dataset.class_names == ["cats", "dogs"] and dataset.num_classes == 2
    assert dataset[2][1].tolist() == [1, 0] and dataset[3][1].tolist() == [0, 1]
    assert dataset[0][1].dtype == torch.float32


def test_dataset_json_gives_classes_or_vectors(two_classes):
    names = [f"{kind}/{k}.png" for kind in ("cats", "dogs") for k in range(3)]
    write_labels(two_classes, [[name, 5 - k] for k, name in enumerate(names)])
    dataset = ImageDataset(two_classes, 8, classes="labels")
    assert dataset.num_classes == 6 and dataset[1][1].tolist() == [0, 0, 0, 0, 1, 0]
    assert torch.equal(ImageDataset(zipped(two_classes, "top/"), 8, classes="labels")[1][1], dataset[1][1])

    write_labels(two_classes, [[name, [k, 0.5]] for k, name in enumerate(names)])
    dataset = ImageDataset(two_classes, 8, classes="labels")
    assert dataset.num_classes == 2 and dataset.class_names == [] and dataset[4][1].tolist() == [4, 0.5]


@pytest.mark.parametrize(
    "labels, message",
    [
        (None, "null labels"),
        ({"a.png": 0}, "found something else"),
        ([["a.png", 0]], "1 images without label .*b.png"),
        ([["a.png", 0], ["b.png", 1], ["c.png", 1]], "labels of files that are not there .*c.png"),
        ([["a.png", 0], ["b.png", -1]], "without gaps, found -1, 0"),
        ([["a.png", 0], ["b.png", 2]], "without gaps, found 0, 2"),
        ([["a.png", 0], ["b.png", [1.0]]], "all integers, or all lists"),
        ([["a.png", [0.0, 1.0]], ["b.png", [1.0]]], "all integers, or all lists"),
        ([["a.png", [0.0]], ["b.png", [math.nan]]], "all integers, or all lists"),
        ([["a.png", True], ["b.png", False]], "all integers, or all lists"),
    ],
)
def test_unusable_labels_are_refused(tmp_path, labels, message):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    write_labels(tmp_path, labels)
    with pytest.raises(InputError, match=message):
        ImageDataset(tmp_path, 8, classes="labels")
    assert ImageDataset(tmp_path, 8).num_classes == 0


def test_unusable_class_sources_are_refused(two_classes):
    with pytest.raises(InputError, match="dataset.json.*found none"):
        ImageDataset(two_classes, 8, classes="labels")
    with pytest.raises(InputError, match="found 3 outside"):
        ImageDataset(two_classes / "cats", 8, classes="folders")
    shutil.rmtree(two_classes / "dogs")
    with pytest.raises(InputError, match="found only cats"):
        ImageDataset(two_classes, 8, classes="folders")
    save(two_classes / "x.png")
    with pytest.raises(InputError, match=r"found 1 outside \(x.png\)"):
        ImageDataset(two_classes, 8, classes="folders")
    (two_classes / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="found something else"):
        ImageDataset(two_classes, 8, classes="labels")


# What is refused


def test_unusable_paths_are_refused(tmp_path):
    with pytest.raises(InputError, match="found nothing at"):
        ImageDataset(tmp_path / "absent", 8)
    with pytest.raises(InputError, match=r"found no files\."):
        ImageDataset(tmp_path, 8)
    (tmp_path / "a.gif").write_bytes(b"")
    (tmp_path / "b.gif").write_bytes(b"")
    (tmp_path / "c.txt").write_bytes(b"")
    with pytest.raises(InputError, match=r"\.png \.jpg \.jpeg \.webp \.bmp.*found 2 \.gif, 1 \.txt"):
        ImageDataset(tmp_path, 8)
    with pytest.raises(InputError, match="a folder or a zip of images, found the file"):
        ImageDataset(tmp_path / "c.txt", 8)


def test_a_corrupt_zip_is_refused(two_classes):
    path = zipped(two_classes)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="intact zip"):
        ImageDataset(path, 8)


@pytest.mark.parametrize("resolution", [0, 2, 48, 2048])
def test_an_impossible_resolution_is_refused(resolution):
    with pytest.raises(InputError, match=f"found {resolution}"):
        ImageDataset("demo", resolution)


def test_an_impossible_number_of_channels_is_refused():
    with pytest.raises(InputError, match="channels, found 2"):
        ImageDataset("demo", 32, channels=2)


# The scan


@pytest.mark.parametrize("cache_gb", [0, 1])
@pytest.mark.parametrize("form", [lambda path: path, zipped])
def test_scan_lists_unreadable_files_and_refuses(damaged, cache_gb, form):
    dataset = ImageDataset(form(damaged), 8, cache_gb=cache_gb)
    with pytest.raises(InputError, match=r"3 of 8 images") as error:
        dataset.scan(progress=False)
    assert all(name in str(error.value) for name in ("0a.jpg", "2a.png", "3a.png", "unreadable=skip"))
    assert "1.png" not in str(error.value)


@pytest.mark.parametrize("cache_gb", [0, 1])
@pytest.mark.parametrize("form", [lambda path: path, zipped])
def test_scan_skips_unreadable_files_and_keeps_labels_aligned(damaged, cache_gb, form):
    dataset = ImageDataset(form(damaged), 8, classes="labels", unreadable="skip", cache_gb=cache_gb)
    with pytest.warns(UserWarning, match="3 of 8 images") as warned:
        dataset.scan(progress=False)
    assert "0a.jpg" in str(warned[0].message)
    assert dataset.num_images == 5 and dataset.num_classes == 5 and dataset.in_memory == bool(cache_gb)
    for k, (image, label) in enumerate(dataset):
        assert image[0, 0, 0] == k == label.argmax()


@pytest.mark.parametrize(
    "options", [{"format": "JPEG"}, {"format": "JPEG", "progressive": True}, {"format": "PNG"}]
)
@pytest.mark.parametrize("cache_gb", [0, 1])
def test_scan_finds_truncation_anywhere(tmp_path, options, cache_gb):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, **options)
    data = buffer.getvalue()
    cuts = [0, 1, 10, 100, len(data) // 2, len(data) - 1000, len(data) - 40]
    for cut in cuts:
        (tmp_path / f"{cut}.png").write_bytes(data[:cut])
    with pytest.raises(InputError, match=f"{len(cuts)} of {len(cuts)} images"):
        ImageDataset(tmp_path, 8, unreadable="skip", cache_gb=cache_gb).scan(progress=False)


def test_scan_names_twenty_files_and_a_count(tmp_path):
    for k in range(25):
        (tmp_path / f"{k:02}.png").write_bytes(b"")
    with pytest.raises(InputError, match="25 of 25") as error:
        ImageDataset(tmp_path, 8).scan(progress=False)
    text = str(error.value)
    assert "19.png" in text and "20.png" not in text and "and 5 more" in text


def test_a_file_damaged_after_the_scan_is_named(two_classes):
    dataset = ImageDataset(two_classes, 8, cache_gb=0)
    dataset.scan(progress=False)
    (two_classes / "cats/1.png").write_bytes(b"")
    with pytest.raises(InputError, match="cats/1.png"):
        dataset[1]


def test_a_program_hidden_behind_an_image_extension_is_not_run(tmp_path):
    """PIL would hand PostScript to Ghostscript."""
    (tmp_path / "a.png").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(InputError, match="cannot identify"):
        ImageDataset(tmp_path, 8).scan(progress=False)


# Cache and workers


def test_images_decoded_by_workers_are_cached_for_everybody(two_classes):
    dataset = ImageDataset(two_classes, 8, mirror=True)
    expected = [ImageDataset(two_classes, 8, mirror=True, cache_gb=0)[i][0] for i in range(12)]
    assert not dataset.in_memory
    list(DataLoader(dataset, num_workers=2, multiprocessing_context="fork"))
    assert dataset.in_memory
    shutil.rmtree(two_classes)
    assert all(torch.equal(dataset[i][0], expected[i]) for i in range(12))


def test_a_set_too_large_for_the_cache_is_decoded_each_time(two_classes):
    size = 6 * 3 * 8 * 8
    small, large = (ImageDataset(two_classes, 8, cache_gb=(size - d) / 1e9) for d in (1, 0))
    for dataset in (small, large):
        dataset.scan(progress=False)
    assert large.in_memory and not small.in_memory
    noise(two_classes / "cats/0.png", 8, 99)
    assert torch.equal(large[1][0], small[1][0]) and not torch.equal(large[0][0], small[0][0])


@pytest.mark.parametrize("form", [lambda path: path, zipped])
def test_a_pickled_copy_reads_the_same(two_classes, form):
    dataset = ImageDataset(form(two_classes), 8, classes="folders")
    dataset.scan(progress=False)
    copy = pickle.loads(pickle.dumps(dataset))
    for (a, la), (b, lb) in zip(copy, dataset, strict=True):
        assert torch.equal(a, b) and torch.equal(la, lb)


@pytest.mark.parametrize("form", [lambda path: path, zipped])
@pytest.mark.parametrize("cache_gb", [0.0, 1.0])
def test_batches_do_not_depend_on_workers(two_classes, form, cache_gb):
    batches = []
    for workers in (0, 1, 2):
        data = ImageData(
            str(form(two_classes)), 8, classes="folders", mirror=True, workers=workers, cache_gb=cache_gb
        )
        batches.append(list(itertools.islice(data.loader(5, seed=1), 6)))
    assert batches[0][0][0].shape == (5, 3, 8, 8) and batches[0][0][1].shape == (5, 2)
    for other in batches[1:]:
        for (a, la), (b, lb) in zip(batches[0], other, strict=True):
            assert torch.equal(a, b) and torch.equal(la, lb)


# The order of images


def stream(count: int, **options) -> list[list[int]]:
    return list(itertools.islice(InfiniteSampler(**options), count))


def test_each_epoch_is_a_permutation_and_no_two_are_alike():
    flat = sum(stream(100, n=30, batch=3, seed=5), [])
    epochs = [tuple(flat[k : k + 30]) for k in range(0, 300, 30)]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs) and len(set(epochs)) == 10
    assert flat[:30] != sum(stream(10, n=30, batch=3, seed=6), [])


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_one_stream(world_size):
    whole = stream(12, n=7, batch=4 * world_size, seed=1)
    ranks = [stream(12, n=7, batch=4, seed=1, rank=r, world_size=world_size) for r in range(world_size)]
    assert [sum(parts, []) for parts in zip(*ranks, strict=True)] == whole


def test_resumed_stream_equals_uninterrupted_stream():
    for n, done in ((7, 5), (100, 3)):
        whole = stream(20, n=n, batch=4, seed=1, rank=1, world_size=2)
        resumed = stream(20 - done, n=n, batch=4, seed=1, rank=1, world_size=2, start=done * 4 * 2)
        assert resumed == whole[done:]


def test_a_stream_continues_on_another_number_of_processes():
    whole = sum(stream(12, n=7, batch=4, seed=1), [])
    ranks = [stream(4, n=7, batch=2, seed=1, rank=r, world_size=2, start=32) for r in range(2)]
    assert sum((a + b for a, b in zip(*ranks, strict=True)), []) == whole[32:]


def test_a_batch_larger_than_the_set_goes_on_into_the_next_epochs():
    (batch,) = stream(1, n=3, batch=9, seed=0)
    assert all(sorted(batch[k : k + 3]) == [0, 1, 2] for k in (0, 3, 6))


def test_the_sampler_works_as_batch_sampler(two_classes):
    dataset = ImageDataset(two_classes, 8)
    (order,) = stream(1, n=6, batch=4, seed=3)
    images, _ = next(iter(DataLoader(dataset, batch_sampler=InfiniteSampler(6, batch=4, seed=3))))
    assert torch.equal(images, torch.stack([dataset[i][0] for i in order]))


# The data module and packing


def test_the_demo_opens_once_without_workers():
    data = ImageData()
    dataset = data.open(minimum=1906, progress=False)
    assert data.open() is dataset is data.dataset
    loader = data.loader(32, seed=0)
    assert loader.num_workers == 0 and next(iter(loader))[0].shape == (32, 3, 32, 32)
    with pytest.raises(InputError, match="at least 2000 images in demo, found 1906"):
        data.open(minimum=2000)


@pytest.mark.parametrize("classes", ["none", "folders", "labels"])
def test_a_packed_set_reads_as_its_source(two_classes, tmp_path, classes):
    noise(two_classes / "dogs/large.jpg", 50)
    noise(two_classes / "dogs/large.png", 40)
    names = ImageDataset(two_classes, 8).names
    write_labels(two_classes, [[name, [len(name), 0.25]] for name in names])
    out = tmp_path / "packed.zip"
    pack(str(two_classes), str(out), 8, classes=classes)
    source, packed = (ImageDataset(p, 8, classes=classes) for p in (two_classes, out))
    assert ("dataset.json" in packed.source.names) == (classes != "none")
    assert packed.num_classes == source.num_classes and packed.class_names == source.class_names
    for (a, la), (b, lb) in zip(source, packed, strict=True):
        assert torch.equal(a, b) and torch.equal(la, lb)
    if classes == "folders":
        assert torch.equal(ImageDataset(out, 8, classes="labels")[5][1], source[5][1])
    assert all(info.compress_type == zipfile.ZIP_STORED for info in zipfile.ZipFile(out).infolist())


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_packed_images_have_the_channels_asked_for(tmp_path, channels, mode):
    save(tmp_path / "set/a.png", (*RED, 100), mode="RGBA", size=(20, 20))
    pack(str(tmp_path / "set"), str(tmp_path / "a.zip"), 16, channels=channels)
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        image = Image.open(io.BytesIO(file.read("a.png")))
    assert image.mode == mode and image.size == (16, 16)


def test_a_failed_pack_leaves_nothing_and_keeps_the_old(damaged, tmp_path):
    out = tmp_path / "out.zip"
    out.write_bytes(b"old")
    with pytest.raises(InputError, match="3 of 8"):
        pack(str(damaged), str(out), 8)
    assert out.read_bytes() == b"old"
    with pytest.warns(UserWarning, match="3 of 8"):
        pack(str(damaged), str(out), 8, unreadable="skip")
    assert ImageDataset(out, 8).num_images == 5
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    for bad in (out, tmp_path, tmp_path / "absent/out.zip"):
        with pytest.raises(InputError, match="name of a zip to write"):
            pack(str(out), str(bad), 8)


def test_a_folder_in_a_zip_is_a_data_set_of_its_own(tmp_path):
    for kind in ("cats", "dogs"):
        for i in range(3):
            save(tmp_path / "all" / kind / f"{i}.png")
    archive = zipped(tmp_path / "all", prefix="top/")
    for inside in ("cats", "top/cats"):
        assert ImageDataset(archive / inside, 8).names == ["0.png", "1.png", "2.png"]
    with pytest.raises(InputError, match="Expected images"):
        ImageDataset(archive / "birds", 8)


def test_the_demo_has_a_folder_of_smileys():
    assert ImageDataset("demo/smileys-emotion", 32).num_images == 169
