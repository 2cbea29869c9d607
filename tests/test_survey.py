"""What a survey finds in a set of images, and the page that shows it."""

import io
import random
import sys
import zlib
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest
from image_sets import BLUE, RED, images_of, make_two_classes, noise, save, zipped
from PIL import Image, ImageDraw

from stylegan2.survey import Facts, Survey, examine
from stylegan2.survey.duplicates import BITS, equal_files, look_alikes
from stylegan2.survey.facts import difference_hash
from stylegan2.survey.page import page

VOID = {"meta", "img", "br"}


def scene(seed: int, size: int = 64) -> Image.Image:
    """A picture of some colored shapes, with other shapes for another seed."""
    draw = ImageDraw.Draw(image := Image.new("RGB", (size, size), "white"))
    rng = random.Random(seed)
    for _ in range(6):
        box = sorted(rng.sample(range(size), 2)) + sorted(rng.sample(range(size), 2))
        draw.ellipse((box[0], box[2], box[1], box[3]), fill=tuple(rng.randrange(256) for _ in range(3)))
    return image


def survey(path, **options) -> Survey:
    return Survey.of(images_of(path, 16, **options), progress=False)


def groups(found: Survey, rows) -> list[list[str]]:
    return [[found.names[row] for row in group] for group in rows]


@pytest.mark.parametrize(
    "mode, color, word",
    [
        ("1", 1, "1 bit"),
        ("L", 9, "gray"),
        ("LA", (9, 9), "gray with alpha"),
        ("P", 0, "palette"),
        ("RGB", RED, "RGB"),
        ("RGBA", (*RED, 9), "RGBA"),
        ("I;16", 9, "gray, 16 bit"),
    ],
)
def test_modes_are_told_apart(tmp_path, mode, color, word):
    save(tmp_path / "a.png", color, (20, 10), mode)
    found = survey(tmp_path)
    assert dict(found.modes) == {word: 1} and dict(found.sizes) == {(10, 20): 1}


def test_cmyk_and_16_bit_color_are_told_apart(tmp_path):
    save(tmp_path / "a.jpg", (1, 2, 3, 4), (20, 10), "CMYK")
    assert dict(survey(tmp_path).modes) == {"CMYK": 1}
    png = io.BytesIO()
    Image.new("RGB", (4, 4), RED).save(png, "PNG")
    deep = bytearray(png.getvalue())
    deep[24] = 16  # the bit depth in IHDR, whose checksum follows; only the header is read here
    deep[29:33] = zlib.crc32(deep[12:29]).to_bytes(4, "big")
    fact = examine("a.png", bytes(deep), np.zeros((3, 4, 4), np.uint8))
    assert fact.mode == "RGB, 16 bit"


def test_the_size_is_that_of_the_upright_image_and_oddities_are_named(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "turned.jpg", size=(30, 10), exif=exif.tobytes())
    save(tmp_path / "really.jpg.png", size=(8, 8)).rename(tmp_path / "really.jpg")
    frames = [Image.new("L", (8, 8), k) for k in (0, 90)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    found = survey(tmp_path)
    assert found.sizes[(30, 10)] == 1
    named = {why: [found.names[row] for row in rows] for why, rows in found.oddities.items()}
    assert named == {
        "turned upright by its EXIF orientation": ["turned.jpg"],
        "content is PNG, whatever the extension says": ["really.jpg"],
        "several pictures, of which the first is used": ["film.gif"],
    }


def test_the_hash_is_that_of_a_loop():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 9), dtype=np.uint8)
    bits = ""
    for y in range(8):
        for x in range(8):
            bits += "1" if int(pixels[0, y, x]) - int(pixels[0, y, x + 1]) > 2 else "0"
    assert difference_hash(pixels) == int(bits, 2)


def test_copies_are_found_and_other_images_are_not(tmp_path):
    for k in range(20):
        scene(k).save(tmp_path / f"{k:02}.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "03.png").read_bytes())
    scene(5).save(tmp_path / "05b.jpg", quality=60)
    scene(5).resize((256, 256), Image.Resampling.BICUBIC).save(tmp_path / "05c.png")
    scene(7).point(lambda v: min(255, v + 3)).save(tmp_path / "07b.png")
    found = survey(tmp_path)
    assert groups(found, found.equal) == [["03.png", "copy.png"]]
    assert groups(found, found.alike) == [["05.png", "05b.jpg", "05c.png"], ["07.png", "07b.png"]]


def test_blank_images_of_different_colors_do_not_look_alike(tmp_path):
    for name, color in {"a": RED, "b": BLUE, "c": (255, 3, 0), "d": (0, 255, 0)}.items():
        save(tmp_path / f"{name}.png", color)
    found = survey(tmp_path)
    assert groups(found, found.alike) == [["a.png", "c.png"]]


def test_look_alikes_are_those_of_a_comparison_of_all_pairs():
    rng = np.random.default_rng(0)
    facts = []
    for k in range(300):
        if k % 3 and facts:  # some bits of an earlier one are flipped, up to one more than may be
            number = facts[rng.integers(len(facts))].hash
            for bit in rng.choice(64, rng.integers(0, BITS + 2), replace=False):
                number ^= 1 << int(bit)
        else:
            number = int.from_bytes(rng.bytes(8), "big")
        colors = bytes([int(rng.integers(0, 3)) * 5] * 48).hex()
        facts.append(Facts(height=1, width=1, mode="", digest=str(k), hash=number, colors=colors))
    label = list(range(300))
    for a, b in combinations(range(300), 2):
        level = abs(int(facts[a].colors[:2], 16) - int(facts[b].colors[:2], 16))
        if bin(facts[a].hash ^ facts[b].hash).count("1") <= 4 and level <= 6:
            old, new = max(label[a], label[b]), min(label[a], label[b])
            label = [new if x == old else x for x in label]
    expected = [[k for k in range(300) if label[k] == name] for name in dict.fromkeys(label)]
    assert look_alikes(facts) == [group for group in expected if len(group) > 1]
    assert equal_files(facts) == [] and look_alikes([]) == []


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_is_passed_over_is_counted_by_reason(tmp_path, kind):
    root = make_two_classes(tmp_path / "set")
    for name in ("notes.txt", "cats/more.txt", "cats/.DS_Store", "__MACOSX/x.png", "README"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x", encoding="utf-8")
    (root / "cats/broken.png").write_text("x", encoding="utf-8")
    found = survey(root if kind == "folder" else zipped(root))
    passed = {why: sorted(names) for why, names in found.passed_over.items()}
    assert (
        passed
        == {
            "files of another type, .txt": ["cats/more.txt", "notes.txt"],
            "files without extension": ["README"],
            "hidden, or put there by a system": [
                "__MACOSX" if kind == "folder" else "__MACOSX/x.png",
                "cats/.DS_Store",
            ],
        }
        or kind == "zip"
        and passed["hidden, or put there by a system"] == ["__MACOSX/x.png", "cats/.DS_Store"]
    )
    assert list(found.unreadable) == ["cats/broken.png"] and len(found.facts) == 6
    lines = dict(found.lines(16))
    assert lines["Unreadable"] == "1: 1 cannot identify image file"
    assert lines["Modes"] == "6 RGB"
    assert lines["Passed over"].startswith("5: 2 ")
    assert lines["At 16×16"].startswith("6 would be enlarged")


def test_classes_are_counted_without_what_cannot_be_read(tmp_path):
    root = make_two_classes(tmp_path / "set")
    (root / "dogs/0.png").write_text("x", encoding="utf-8")
    assert survey(root, classes="folders").classes == {"cats": 3, "dogs": 2}


def test_extreme_and_small_images_come_in_order(tmp_path):
    for name, size in {
        "wide": (100, 20),
        "wider": (200, 20),
        "tall": (20, 60),
        "tiny": (5, 5),
        "fine": (40, 40),
    }.items():
        noise_image = Image.effect_noise(size, 50)
        noise_image.save(tmp_path / f"{name}.png")
    found = survey(tmp_path)
    assert [found.names[row] for row in found.extreme(16)] == ["wider.png", "wide.png", "tall.png"]
    assert [found.names[row] for row in found.enlarged(32)] == [
        "tiny.png",
        "tall.png",
        "wide.png",
        "wider.png",
    ]
    # Where width / height should be 4, the wide one is no extreme, and square ones are.
    assert [found.names[row] for row in found.extreme((16, 64))] == [
        "tall.png",
        "fine.png",
        "tiny.png",
        "wider.png",
    ]


class Outline(HTMLParser):
    """The elements of a page: their balance, text and attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


HOSTILE = [
    "<script>alert(1)</script>",
    "a\"onerror='x'",
    "&lt;b&gt;",
    "<img src=x onerror=alert(1)>",
    "a\u202egnp",
]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_hostile_names_are_escaped_wherever_they_stand(tmp_path):
    for k, name in enumerate(HOSTILE):
        name = name.replace("/", "\\")
        for end in ("", "b"):  # two classes of equal files
            noise(tmp_path / f"{name}{end}/{name}.png", 8, k)
        (tmp_path / name / f"{name} broken.png").write_text("x", encoding="utf-8")
        (tmp_path / name / f"{name}.<i>").write_text("x", encoding="utf-8")
        save(tmp_path / name / f"{name} wide.png", size=(90, 3))
    (tmp_path / name / "\udce9.png").write_bytes(b"")
    outline = Outline(page(survey(tmp_path, classes="folders"), 16))
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
    }
    allowed |= {
        "td",
        "details",
        "summary",
        "span",
        "p",
        "figure",
        "figcaption",
        "img",
        "br",
        "small",
        "ul",
        "li",
    }
    assert {tag for tag, _ in outline.tags} <= allowed
    assert not any(key.startswith("on") for _, attributes in outline.tags for key in attributes)
    images = [attributes for tag, attributes in outline.tags if tag == "img"]
    assert images and all(one["src"].startswith("data:image/jpeg;base64,") for one in images)
    assert "<script>alert(1)<\\script>" in outline.text and "\u202e" not in outline.text
    assert "\\xe9.png" in outline.text and outline.text.count("&lt;b&gt;") > 3


def test_a_page_has_at_most_some_hundred_thumbnails(tmp_path):
    for k in range(150):
        noise(tmp_path / f"{k}.png", 4, k)
        (tmp_path / f"{k} copy.png").write_bytes((tmp_path / f"{k}.png").read_bytes())
        save(tmp_path / f"{k} wide.png", (k, 0, 0), size=(60, 2))
    text = page(survey(tmp_path), 16)
    Outline(text)
    assert 100 < text.count("<img ") <= 300 and len(text) < 3e6
    assert "and 130 more groups" in text


def test_a_file_that_is_gone_has_no_thumbnail(tmp_path):
    noise(tmp_path / "a.png", 4)
    found = survey(tmp_path)
    (tmp_path / "a.png").unlink()
    text = page(found, 16)
    assert "<img" not in text and "cannot be read any more" in text
