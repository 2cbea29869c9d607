"""Videos: what is written is decoded again; a loop closes; a frame is the same from its number alone."""

import math

import numpy as np
import pytest
import torch
from explore_cases import save_network, tiny_network
from PIL import Image
from scipy.spatial.transform import Rotation, Slerp

from stylegan2.__main__ import run
from stylegan2.errors import InputError
from stylegan2.explore import Film, ProjectionOptions, interpolation_walk, write_animation
from stylegan2.explore.animation import delays
from stylegan2.explore.sheets import Look
from stylegan2.explore.walks import circle, cubic, linear, slerp


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_network(tiny_network(), tmp_path_factory.mktemp("network") / "tiny.ckpt")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return save_network(tiny_network(3), tmp_path_factory.mktemp("network") / "classes.ckpt")


def video(checkpoint, *args):
    return run("video", ["--checkpoint", str(checkpoint), *map(str, args)], "stylegan2 video")


def frames_of(folder):
    return [np.asarray(Image.open(path)).astype(int) for path in sorted(folder.glob("*.png"))]


def test_an_mp4_has_the_frames_the_size_and_the_rate_that_were_asked_for(checkpoint, tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    options = ["--seeds", "0-8", "--grid", "3x1", "--frames", 4, "--loop", "--fps", 24, "--size", 32]
    assert video(checkpoint, *options, "--out", tmp_path / "a.mp4") == 0
    assert video(checkpoint, *options, "--out", tmp_path / "a") == 0
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4"))
    about = next(reader)
    decoded = [np.frombuffer(frame, np.uint8).reshape(32, 96, 3).astype(int) for frame in reader]
    assert about["size"] == (96, 32) and about["fps"] == 24 and about["codec"] == "h264"
    exact = frames_of(tmp_path / "a")
    assert len(decoded) == len(exact) == 12
    for number, (a, b) in enumerate(zip(decoded, exact)):  # chroma has half the resolution in H.264
        distances = [np.abs(a - other).mean() for other in exact]
        assert np.abs(a - b).mean() < 12 and np.argmin(distances) == number


@pytest.mark.parametrize("end,tolerance", [(".gif", 12), (".webp", 12)])
def test_gif_and_webp_are_read_back_by_pillow(end, tolerance, tmp_path):
    film = Film(
        network=tiny_network(),
        walks=[interpolation_walk(tiny_network(), [0, 1], torch.zeros(2, 0))],
        times=[i / 6 for i in range(7)],
        size=24,
    )
    frames = [film.frame(i) for i in range(7)]
    write_animation(frames, tmp_path / f"a{end}", 30)
    with Image.open(tmp_path / f"a{end}") as file:
        assert file.n_frames == 7 and file.size == (24, 24) and file.info["loop"] == 0
        lasting = []
        for number, exact in enumerate(frames):
            file.seek(number)
            picture = np.asarray(file.convert("RGB")).astype(int)
            lasting.append(file.info["duration"])
            assert np.abs(picture - np.asarray(exact)).mean() < tolerance
    assert abs(sum(lasting) - 7000 / 30) <= 5


def test_webp_keeps_transparency_and_the_others_show_white(tmp_path):
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (0, 0, 200, 255))
    for end in (".webp", ".gif"):
        write_animation([clear, half], tmp_path / f"a{end}", 10)
    with Image.open(tmp_path / "a.webp") as file:
        assert file.convert("RGBA").getpixel((3, 3))[3] == 0
        file.seek(1)
        assert file.convert("RGBA").getpixel((3, 3))[3] == 255
    with Image.open(tmp_path / "a.gif") as file:
        assert file.convert("RGB").getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize("interpolation", ["linear", "slerp", "cubic"])
@pytest.mark.parametrize("space", ["z", "w"])
def test_a_loop_closes_without_a_jump(checkpoint, tmp_path, interpolation, space):
    options = ["--seeds", "0-2", "--frames", 8, "--interpolation", interpolation, "--space", space]
    assert video(checkpoint, *options, "--loop", "--out", tmp_path / "loop") == 0
    assert video(checkpoint, *options, "--out", tmp_path / "open") == 0
    for name, count, closes in (("loop", 24, True), ("open", 17, False)):
        frames = frames_of(tmp_path / name)
        steps = [np.abs(a - b).mean() for a, b in zip(frames, frames[1:])]
        assert len(frames) == count
        assert (np.abs(frames[-1] - frames[0]).mean() <= 1.1 * max(steps)) == closes


def test_a_walk_passes_through_the_images_of_its_seeds(checkpoint, tmp_path):
    assert video(checkpoint, "--seeds", "3,17,8", "--frames", 4, "--psi", 0.7, "--out", tmp_path / "a") == 0
    args = [
        "--checkpoint",
        str(checkpoint),
        "--seeds",
        "3,17,8",
        "--psi",
        "0.7",
        "--out",
        str(tmp_path / "b"),
    ]
    assert run("generate", [*args, "--scale", "16", "--grid", "none"], "generate.py") == 0
    frames = frames_of(tmp_path / "a")
    for number, seed in ((0, 3), (4, 17), (8, 8)):
        image = np.asarray(Image.open(tmp_path / "b" / f"seed{seed:04d}.png")).astype(int)
        assert np.abs(frames[number] - image).max() <= 1  # the spline has rounded


@pytest.mark.parametrize("options", [["--noise", "random"], ["--walk", "circle", "--space", "z"]], ids=str)
def test_a_frame_is_the_same_from_its_number_alone(conditional, tmp_path, options):
    seeds = ["--seeds", "0-3" if "circle" in options else "0-7", "--grid", "2x2", "--frames", 6, *options]
    options = [*seeds, "--classes", "0-1,owls", "--psi", 0.6, "--centers", 2]
    assert video(conditional, *options, "--out", tmp_path / "all") == 0
    assert video(conditional, *options, "--only", "3-4", "--out", tmp_path / "some") == 0
    names = sorted(path.name for path in (tmp_path / "some").iterdir())
    assert names == ["frame000003.png", "frame000004.png"]
    for name in names:
        assert (tmp_path / "some" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()


def test_random_noise_changes_from_frame_to_frame_and_constant_noise_does_not(checkpoint, tmp_path):
    for noise, changes in (("random", True), ("const", False)):
        film_args = ["--seeds", "1,2", "--grid", "1x1", "--psi", 0, "--frames", 2, "--noise", noise]
        assert video(checkpoint, *film_args, "--out", tmp_path / noise) == 0
        frames = frames_of(tmp_path / noise)
        assert (np.abs(frames[0] - frames[1]).max() > 0) == changes


def test_slerp_is_the_geodesic_of_rotations():
    """A unit quaternion is a point of the sphere in 4 dimensions, on which SciPy interpolates rotations."""
    ends = torch.nn.functional.normalize(torch.randn(2, 4, dtype=torch.float64), dim=1)
    ends[1] *= (ends[0] @ ends[1]).sign()  # SciPy takes the shorter of the arcs to q and -q
    scipy = Slerp([0, 1], Rotation.from_quat(ends.numpy()))
    for part in (0.0, 0.3, 0.9):
        q = torch.from_numpy(scipy([part]).as_quat()[0])
        point = slerp(ends)(part)
        torch.testing.assert_close(point * (q @ point).sign(), q, rtol=0, atol=1e-12)


def test_slerp_keeps_the_length_of_latents_and_linear_does_not():
    keys = torch.nn.functional.normalize(torch.randn(2, 512), dim=1) * math.sqrt(512)
    assert slerp(keys)(0.5).norm() == pytest.approx(math.sqrt(512), rel=1e-5)
    assert linear(keys)(0.5).norm() < 0.8 * math.sqrt(512)


def test_the_velocity_of_a_cubic_loop_never_jumps_and_of_straight_lines_it_does():
    keys, h = torch.randn(4, 8, dtype=torch.float64), 1e-6
    jumps = {}
    for path in (linear, cubic):
        at = path(keys, True)
        jumps[path] = max(
            float(((at((k + h) % 4) - at(k)) / h - (at(k) - at((k - h) % 4)) / h).abs().max())
            for k in range(4)
        )
    assert jumps[cubic] < 1e-3 < 0.1 < jumps[linear]


def test_a_circle_keeps_its_distance_from_the_middle():
    middle, u, v = torch.randn(3, 16, dtype=torch.float64)
    at = circle(middle, u, v)
    for time in torch.linspace(0, 1, 9).tolist():
        assert (at(time) - middle).norm() == pytest.approx(u.norm())
    torch.testing.assert_close(at(0), at(1))


def test_delays_add_up_to_the_length_of_the_video():
    for fps in (7, 29.97, 48):
        lasting = [delay for delay, _ in zip(delays(fps, 100), range(1000))]
        assert abs(sum(lasting) - 100_000 / fps) <= 0.5


def test_the_mean_of_the_class_is_what_psi_0_gives(conditional, tmp_path):
    args = ["--seeds", "1,2", "--psi", 0, "--frames", 1, "--noise", "none"]
    for classes in ("cats", "dogs"):
        assert video(conditional, *args, "--classes", classes, "--out", tmp_path / classes) == 0
    cats, dogs = frames_of(tmp_path / "cats"), frames_of(tmp_path / "dogs")
    assert np.abs(cats[0] - cats[1]).max() <= 1 and np.abs(cats[0] - dogs[0]).mean() > 1


def test_unknown_choices_are_refused_in_python_too():
    network, labels = tiny_network(), torch.zeros(2, 0)
    walk = interpolation_walk(network, [0, 1], labels)
    for wrong in (
        lambda: Film(network=network, walks=[walk], times=[0.0], noise="konst"),
        lambda: Look(network=network, noise="konst"),
        lambda: interpolation_walk(network, [0, 1], labels, space="v"),
        lambda: ProjectionOptions(space="x"),
        lambda: interpolation_walk(network, [0, 1], labels, "cubik"),
    ):
        with pytest.raises(InputError, match="Expected one of .*(const|w|cubic)"):
            wrong()


def test_frames_are_taken_one_at_a_time(tmp_path):
    """Memory is constant if no frame is alive when the one after the next is made."""
    import weakref

    alive = []

    def frames():
        for value in range(12):
            picture = Image.new("RGB", (8, 8), (value * 20, 0, 0))
            alive.append(weakref.ref(picture))
            assert sum(reference() is not None for reference in alive) <= 2
            yield picture
            del picture

    for out in ("a.gif", "a.webp", "folder"):
        alive.clear()
        write_animation(frames(), tmp_path / out, 10)


@pytest.mark.parametrize(
    "args,words",
    [
        (["--out", "{}/a.avi"], ".mp4"),
        (["--out", "{}/missing/a.mp4"], "existing folder"),
        (["--out", "{}/a.gif", "--fps", "60"], "50"),
        (["--fps", "0"], "--fps"),
        (["--fps", ".nan"], "--fps"),
        (["--seeds", "5"], "--seeds"),
        (["--seeds", "0-4294967295"], "at most"),
        (["--seeds", "0-6", "--grid", "2x2"], "equally many"),
        (["--grid", "0x2"], "--grid"),
        (["--walk", "circle"], "one seed"),
        (["--radius", "-1"], "--radius"),
        (["--frames", "0"], "--frames"),
        (["--psi", ".inf"], "--psi"),
        (["--size", "99999"], "--size"),
        (["--seeds", "0-511", "--grid", "16x16", "--size", "8192"], "pixels"),
        (["--centers", "0"], "--centers"),
        (["--classes", "cats"], "no classes"),
        (["--label", "0.3,0.7"], "no classes"),
        (["--edit", "smile=2"], "directions.safetensors"),
        (["--only", "9999"], "--only"),
        (["--checkpoint", "{}/none.ckpt"], "none.ckpt"),
    ],
)
def test_bad_options_end_with_status_2_and_write_nothing(
    checkpoint, tmp_path, capsys, monkeypatch, args, words
):
    monkeypatch.chdir(tmp_path)
    args = [arg.format(tmp_path) for arg in args]
    out = [] if "--out" in args else ["--out", "a.webp"]
    assert video(checkpoint, *out, *args) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_an_mp4_without_ffmpeg_is_refused_with_what_to_install(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert video(checkpoint, "--out", tmp_path / "a.mp4") == 2
    error = capsys.readouterr().err
    assert "imageio-ffmpeg" in error and 'pip install "stylegan2[video]"' in error
