"""Sound and walks: loud parts and onsets are fast, and the video is as long as the sound. Panoramas."""

import re
import subprocess

import numpy as np
import pytest
import torch
from explore_cases import save_network, tiny_network
from scipy.io import wavfile

from stylegan2.__main__ import run
from stylegan2.explore import audio_speeds, audio_times, image_of, sample_w, widened
from stylegan2.explore.latents import latent, w_of
from stylegan2.images import to_picture

RATE = 8000


@pytest.fixture
def song(tmp_path):
    """A second of silence, a second of a tone, and a second of clicks, in stereo."""
    time = np.arange(RATE) / RATE
    clicks = np.zeros(RATE)
    clicks[:: RATE // 4] = 1
    clicks = np.convolve(clicks, np.exp(-np.arange(200) / 40) * np.sin(np.arange(200)), "same")
    mono = np.concatenate([np.zeros(RATE), 0.5 * np.sin(2 * np.pi * 440 * time), clicks])
    wavfile.write(tmp_path / "song.wav", RATE, (np.stack([mono, mono], axis=1) * 32000).astype(np.int16))
    return tmp_path / "song.wav"


def test_a_walk_is_slow_in_silence_and_fast_in_a_tone_and_at_onsets(song):
    speeds = audio_speeds(song, 20)
    assert len(speeds) == 60 and speeds.mean() == pytest.approx(1)
    silence, tone, clicks = speeds[1:20], speeds[22:39], speeds[41:59]
    assert silence.max() < 0.3 * tone.min()
    assert clicks.max() > 3 * clicks.min()


def test_an_open_walk_ends_with_the_sound_and_a_loop_closes(song):
    speeds = audio_speeds(song, 20)
    times = audio_times(speeds, 3.0, False, 60)
    assert times[0] == 0 and times[-1] == pytest.approx(3) and np.all(np.diff(times) > 0)
    times = audio_times(speeds, 3.0, True, 10)  # 60 frames, 10 for each of 3 seeds: twice around
    assert times[-1] < 6 and times[-1] + (times[-1] - times[-2]) == pytest.approx(6, abs=0.5)


def test_the_video_is_as_long_as_the_sound_and_has_it(song, tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    checkpoint = save_network(tiny_network(), tmp_path / "n.ckpt")
    args = [
        "--checkpoint",
        str(checkpoint),
        "--audio",
        str(song),
        "--seeds",
        "0-2",
        "--fps",
        "8",
        "--size",
        "16",
    ]
    assert run("video", [*args, "--loop", "--out", str(tmp_path / "a.mp4")], "stylegan2 video") == 0
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))[0] == 24
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(tmp_path / "a.mp4")]
    about = subprocess.run(program, capture_output=True, encoding="utf-8", errors="replace").stderr
    assert re.search(r"Stream .*Audio: aac", about) and re.search(r"Duration: 00:00:03", about)


def test_a_sound_that_is_missing_or_none_is_refused_at_the_start(tmp_path, capsys):
    checkpoint = save_network(tiny_network(), tmp_path / "n.ckpt")
    (tmp_path / "text.wav").write_text("no sound", encoding="utf-8")
    for name in ("text.wav", "missing.wav", "n.ckpt"):
        args = [
            "--checkpoint",
            str(checkpoint),
            "--audio",
            str(tmp_path / name),
            "--out",
            str(tmp_path / "a.gif"),
        ]
        assert run("video", args, "stylegan2 video") == 2
        error = capsys.readouterr().err
        assert name in error and "--audio" in error and "Traceback" not in error
    assert not (tmp_path / "a.gif").exists()


def test_a_widened_network_repeats_itself_inside_and_noise_makes_a_difference():
    network = tiny_network()
    ws = sample_w(network, 1)[0].expand(network.num_ws, -1)
    assert torch.equal(image_of(widened(network, 1), ws), image_of(network, ws))
    wide = widened(network, 7)
    plain = image_of(wide, ws, "none")
    assert plain.shape == (3, 16, 112) and wide.image_size == (16, 112) and network.image_size == (16, 16)
    torch.testing.assert_close(plain[..., 32:48], plain[..., 64:80], rtol=0, atol=1e-4)
    assert (plain[..., :16] - plain[..., 32:48]).abs().max() > 1e-2  # zeros beyond the edge
    for noise in ("const", "random"):
        image = image_of(wide, ws, noise)
        assert (image[..., 32:48] - image[..., 64:80]).abs().max() > 1e-2


def test_the_command_makes_a_panorama(tmp_path):
    checkpoint = save_network(tiny_network(3), tmp_path / "n.ckpt")
    args = [
        "--checkpoint",
        str(checkpoint),
        "--wide",
        "3",
        "--label",
        "0.3,0.7,0",
        "--out",
        str(tmp_path / "frames"),
    ]
    assert run("video", [*args, "--seeds", "0,1", "--frames", "1", "--size", "48"], "stylegan2 video") == 0
    from PIL import Image

    assert Image.open(tmp_path / "frames" / "frame000001.png").size == (48, 16)
    args = [*args[:-1], str(tmp_path / "images"), "--noise", "none", "--seeds", "0,1", "--grid", "1x2"]
    assert run("generate", args, "stylegan2 generate") == 0
    (name,) = (path.name for path in (tmp_path / "images").glob("seed0001*"))
    image = np.asarray(Image.open(tmp_path / "images" / name))
    network = widened(tiny_network(3), 3)
    w = w_of(network, latent(network, 1), torch.tensor([[0.3, 0.7, 0]]))
    expected = to_picture(image_of(network, w.expand(network.num_ws, -1), "none"))
    assert image.shape == (16, 48, 3) and np.array_equal(image, expected)
    assert Image.open(tmp_path / "images" / "grid.png").size == (96, 64)  # enlarged by two
