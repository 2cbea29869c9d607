"""The page: bounded choices, pictures that commands make again, visitors apart, and nothing from elsewhere."""

import base64
import io
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import torch
from explore_cases import save_network, tiny_network
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from stylegan2.__main__ import run
from stylegan2.explore.directions import find_directions, write_directions
from stylegan2.formats import load_generator
from stylegan2.page import live
from stylegan2.page.export import write_space
from stylegan2.page.picture import SEEDS, Choice, Studio, element
from stylegan2.page.projecting import project


@pytest.fixture
def network():
    return tiny_network(num_classes=3)


@pytest.fixture
def studio(network):
    labels = list(zip(("cats", "dogs", "owls"), torch.eye(3)))
    return Studio(network, "last.ckpt", labels, find_directions(network, "sefa", range(2, 4), 3))


@pytest.mark.parametrize(
    "sent",
    [
        Choice(seed=-5, other=10**30, first=99, last=-7, towards=9, psi=50, label=77, edits=(1e9,) * 50),
        Choice(
            seed=None,
            other="../etc",
            first=[],
            last={},
            towards="x",
            psi=float("nan"),
            noise="rm",
            label=None,
        ),
        Choice(seed=float("inf"), psi=float("-inf"), edits=(None, "a")),
    ],
)
def test_whatever_a_visitor_sends_is_brought_into_bounds(studio, sent):
    choice = studio.bounded(sent)
    assert (
        0 <= choice.seed <= SEEDS
        and 0 <= choice.other <= SEEDS
        and choice.noise in ("const", "random", "none")
    )
    assert abs(choice.psi) <= 2 and 0 <= choice.label < 3 and len(choice.edits) == 3
    assert studio.picture(choice).size == (16, 16)


@pytest.mark.parametrize(
    "choice",
    [
        Choice(seed=7, psi=0.7, label=2),
        Choice(seed=7, psi=0.7, noise="none"),
        Choice(seed=3, other=4, first=2, last=3, psi=0.5),
        Choice(seed=3, other=4, towards=0.25, edits=(2.0, 0.0, -1.0)),
    ],
    ids=["seed", "no noise", "mixed", "edited"],
)
def test_the_command_and_the_latent_make_the_picture_again(studio, network, tmp_path, choice, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_network(network, tmp_path / "last.ckpt")
    choice = studio.bounded(choice)
    picture = studio.picture(choice)
    text = element(picture, 100, "a <picture>", f"seed{choice.seed:04d}", studio.ws(choice))
    links = re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', text)
    for name, data in links:
        Path(name).write_bytes(base64.b64decode(data))
    assert [name for name, _ in links] == [f"seed{choice.seed:04d}.png", f"seed{choice.seed:04d}.safetensors"]
    assert "a &lt;picture&gt;" in text
    words = shlex.split(studio.command(choice))
    assert words[:2] == ["stylegan2", "generate"]
    assert run("generate", [*words[2:], "--out", "again", "--grid", "none"], "stylegan2 generate") == 0
    (made,) = Path("again").iterdir()
    assert np.array_equal(np.asarray(Image.open(made)), np.asarray(picture))
    assert np.array_equal(np.asarray(Image.open(links[0][0])), np.asarray(picture))


def test_a_route_answers_with_pictures_while_a_slider_moves(studio):
    client = TestClient(Starlette(routes=[live.route(studio)]))

    def asked(text):
        return client.get("/live-picture", params={"values": text})

    answer = asked('[7, 1, 0, -1, 0, 0.7, "const", 2, 1.5]')
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    choice = studio.bounded(Choice(seed=7, psi=0.7, label=2, edits=(1.5,)))
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(answer.content))), np.asarray(studio.picture(choice))
    )
    for text in (
        "[]",
        '["x", null, {}, [], 1e999, NaN, {"a": 1}, true]',
        f"[{'9' * 4000}]",
        f"[{'0,' * 900}0]",
    ):
        assert Image.open(io.BytesIO(asked(text).content)).size == (16, 16)
    for text in ("", "7", "[1", "[" * 9_000, '{"seed": 7}', f"[{'9' * 5000}]"):
        assert asked(text).status_code == 400, text[:10]
    assert client.get("/live-picture").status_code == 400


def test_a_wall_shows_each_seed_once(studio):
    pages = [studio.wall(page, 6, Choice(psi=0.7)) for page in (0, 1)]
    assert [seed for page in pages for _, seed in page] == list(range(12))
    alone = studio.picture(studio.bounded(Choice(seed=8, psi=0.7)))
    assert np.array_equal(np.asarray(pages[1][2][0]), np.asarray(alone))


def test_an_uploaded_picture_comes_nearer(studio):
    target = studio.picture(studio.bounded(Choice(seed=5))).convert("RGB").resize((40, 30))
    steps = list(project(studio, target, 20, 0))
    assert [step for step, _, _ in steps] == [5, 10, 15, 20]
    assert steps[-1][2].shape == (studio.network.num_ws, 16) and steps[-1][1].size == (16, 16)


def test_latents_that_do_not_fit_are_refused(network, tmp_path, capsys):
    from safetensors.torch import save_file

    save_network(network, tmp_path / "last.ckpt")
    save_file({"ws": torch.zeros(3, 5)}, tmp_path / "other.safetensors")
    save_file({"ws": torch.full((network.num_ws, 16), float("nan"))}, tmp_path / "nan.safetensors")
    save_file(
        {"ws": torch.zeros(network.num_ws, 16), "noise.b8.conv0": torch.zeros(4, 4)},
        tmp_path / "noise.safetensors",
    )
    (tmp_path / "text.safetensors").write_text("hello", encoding="utf-8")
    for name in ("other", "nan", "noise", "text", "missing"):
        args = [
            "--checkpoint",
            str(tmp_path / "last.ckpt"),
            "--latent",
            str(tmp_path / f"{name}.safetensors"),
        ]
        assert run("generate", [*args, "--out", str(tmp_path / "out")], "generate.py") == 2
        assert "--latent expects" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_projected_latent_is_generated_with_its_noise(network, tmp_path):
    from safetensors.torch import save_file

    save_network(network, tmp_path / "last.ckpt")
    ws = torch.randn(network.num_ws, 16)
    noise = torch.randn(8, 8)
    save_file({"ws": ws, "noise.b8.conv1": noise}, tmp_path / "a.safetensors")
    args = ["--checkpoint", str(tmp_path / "last.ckpt"), "--latent", str(tmp_path / "a.safetensors")]
    assert run("generate", [*args, "--out", str(tmp_path / "out")], "generate.py") == 0
    network.synthesis.b8.conv1.noise_const.copy_(noise)
    expected = network.synthesis(ws[None], "const")[0]
    found = torch.from_numpy(np.asarray(Image.open(tmp_path / "out" / "a.png")).copy()).permute(2, 0, 1)
    assert ((expected * 127.5 + 127.5).clamp(0, 255) - found).abs().max() <= 0.51


def test_the_page_refuses_an_occupied_port_and_a_missing_package(network, tmp_path, capsys, monkeypatch):
    checkpoint = str(save_network(network, tmp_path / "last.ckpt"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        monkeypatch.setattr("stylegan2.tools.page.find_spec", lambda name: name)
        assert run("page", ["--checkpoint", checkpoint, "--port", port], "stylegan2 page") == 2
        assert f"port {port}" in capsys.readouterr().err
    monkeypatch.setattr("stylegan2.tools.page.find_spec", lambda name: None)
    assert run("page", ["--checkpoint", checkpoint], "stylegan2 page") == 2
    assert 'pip install "stylegan2[page]"' in capsys.readouterr().err


def test_an_exported_space_is_complete(network, tmp_path, capsys):
    checkpoint = save_network(network, tmp_path / "last.ckpt")
    write_directions(find_directions(network, "sefa", range(4), 2), tmp_path / "d.safetensors")
    args = ["--checkpoint", str(checkpoint), "--export", str(tmp_path / "space")]
    assert run("page", [*args, "--directions", str(tmp_path / "d.safetensors")], "stylegan2 page") == 0
    space = tmp_path / "space"
    assert "directions='directions.safetensors'" in (space / "app.py").read_text(encoding="utf-8")
    needed = (space / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("gradio") for line in needed) and any(
        line.startswith("torch") for line in needed
    )
    assert not any(line.startswith("sphinx") for line in needed)
    again, _ = load_generator(space / "network.safetensors")
    z, c = torch.randn(1, 16), torch.eye(3)[:1]
    assert torch.equal(again(z, c, noise="const"), network(z, c, noise="const"))
    code = "import stylegan2, stylegan2.tools.page; print(stylegan2.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=space, capture_output=True, encoding="utf-8", check=True
    )
    assert str(space) in done.stdout
    assert run("page", args, "stylegan2 page") == 2
    assert "new or empty folder" in capsys.readouterr().err


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def address(network, tmp_path):
    """A page in a process of its own."""
    pytest.importorskip("gradio", reason='gradio is not installed: pip install "stylegan2[page]"')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    checkpoint = save_network(network, tmp_path / "last.ckpt")
    directions = tmp_path / "d.safetensors"
    write_directions(find_directions(network, "sefa", range(4), 2), directions)
    command = [
        sys.executable,
        "-m",
        "stylegan2",
        "page",
        "--checkpoint",
        str(checkpoint),
        "--port",
        str(port),
    ]
    process = subprocess.Popen([*command, "--directions", str(directions)])
    try:
        for _ in range(600):
            try:
                urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def test_the_page_needs_nothing_from_elsewhere(address):
    with urlopen(address, timeout=60) as answer:
        text = answer.read().decode()
    loaded = re.findall(r"""<(?:script|link|img)[^>]*?(?:src|href)=["'](https?:)?//([^/"']+)""", text)
    assert loaded == []
    with urlopen(address + "config", timeout=60) as answer:
        assert json.load(answer)["analytics_enabled"] is False


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_visitor_in_a_browser(address, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    view = "#view img"
    with playwright.sync_playwright() as program:
        browser = program.chromium.launch(executable_path=CHROMIUM, args=flags)
        asked = []

        def visitor(width):
            context = browser.new_context(viewport={"width": width, "height": 900})
            context.on("request", lambda request: asked.append(request.url))
            page = context.new_page()
            page.goto(address)
            page.wait_for_selector(view, timeout=60_000)
            return page

        first, second = visitor(1200), visitor(390)
        before = first.get_attribute(view, "src")
        assert second.get_attribute(view, "src") == before

        def changed(page, old):
            page.wait_for_function(
                "old => document.querySelector('#view img').src !== old", arg=old, timeout=30_000
            )
            return page.get_attribute(view, "src")

        slider = first.locator("input[type=range]").first  # truncation
        slider.focus()
        for _ in range(4):
            first.keyboard.press("ArrowLeft")
        changed(first, before)
        assert any("/live-picture?" in url for url in asked)  # while the slider moves
        first.wait_for_function("document.querySelector('#view img').src.startsWith('data:')", timeout=30_000)
        after = first.get_attribute(view, "src")  # when it rests
        assert after != before
        first.wait_for_function(
            "[...document.querySelectorAll('textarea')].some(t => t.value.includes('--psi 0.8'))",
            timeout=30_000,
        )
        assert second.get_attribute(view, "src") == before  # visitors do not see each other's state
        assert second.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # a narrow screen

        first.get_by_role("tab", name="Wall of seeds").click()
        first.click("#show-wall")
        pictures = first.locator("#wall button:has(img)")
        pictures.nth(23).wait_for(timeout=60_000)
        pictures.nth(5).focus()
        first.keyboard.press("Enter")
        first.get_by_role("tab", name="Picture", exact=True).click()
        changed(first, after)
        assert first.get_by_label("Seed", exact=True).input_value() == "5"

        with first.expect_download(timeout=30_000) as download:
            first.get_by_text("Download picture").first.click()
        download.value.save_as(tmp_path / "x.png")
        assert download.value.suggested_filename == "seed0005.png"
        assert Image.open(tmp_path / "x.png").size == (16, 16)
        browser.close()
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert outside == []


def test_write_space_refuses_a_folder_that_cannot_be(network, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(Exception, match="failed"):
        write_space(tmp_path / "file" / "x", network, "x", None)
