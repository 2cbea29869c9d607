"""`stylegan2 page`: a page in the browser to play with a trained network."""

from __future__ import annotations

import os
import socket
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch

from stylegan2.errors import InputError
from stylegan2.explore.directions import read_directions
from stylegan2.files import printable
from stylegan2.formats import load_generator
from stylegan2.kernels import fixed_weights

from .computing import RuntimeName, chosen_device, served, thread_tuner

LOCAL = ("127.0.0.1", "localhost", "::1")
PICTURES = 1_000_000
"""So many that `--runtime auto` compares runtimes even for small pictures: speed is what a page needs."""

PATIENCE = 1.25
"""See `ThreadTuner`. The browser, which often runs on the same computer, needs a core too."""

UPLOAD = "10mb"
"""Largest file that a visitor may upload."""


def page(
    checkpoint: str,
    port: int = 7860,
    host: str = "127.0.0.1",
    directions: str | None = None,
    device: str = "auto",
    runtime: RuntimeName = "torch",
    export: str | None = None,
) -> None:
    """Open a page in the browser that plays with a trained network, on this computer only.

    It shows the picture of a seed while sliders move: truncation, noise, class, mixing of two seeds by layer, and
    directions. A wall of seeds lets you pick pictures and walk between two of them. An uploaded picture is projected.
    Pictures, latents and the commands that make them again can be taken away. Ctrl-C ends the page.

    Args:
        checkpoint: A .ckpt file that training wrote, or a file of another program (docs/formats.md).
        port: Port of the page.
        host: Address to listen on. Anybody who reaches this address can use the page, so change it with care.
        directions: A file that `stylegan2 directions` wrote. Its first ten become sliders. null: none.
        device: auto, cpu, cuda or cuda:N.
        runtime: What computes the pictures on a CPU: torch, onnxruntime or openvino, as in generate. auto measures
            the installed ones first. A projection runs in torch.
        export: Write a folder that Hugging Face Spaces run, and open nothing. null: open the page.

    Raises:
        InputError: The checkpoint or the directions cannot be read, gradio is missing, or the port is in use.
    """
    if export is None:
        _require_gradio()
        _require_free(host, port)
    network, about = load_generator(checkpoint)
    found = None if directions is None else read_directions(directions, network)
    title = Path(checkpoint).stem
    if export is not None:
        from stylegan2.page.export import write_space

        folder = Path(export).expanduser()
        write_space(folder, network, title, None if directions is None else Path(directions))
        print(f"Wrote a Space to {folder}. Run it here: cd {folder} && python app.py")
        return
    network = network.to(chosen_device(device))
    drawing = served(network, runtime, PICTURES)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    with tempfile.TemporaryDirectory(prefix="stylegan2-page-") as temporary:
        # All that visitors upload lies here, until the page ends.
        os.environ["GRADIO_TEMP_DIR"] = tempfile.tempdir = temporary
        from stylegan2.page import live
        from stylegan2.page.app import CSS, make_page, theme
        from stylegan2.page.picture import Studio

        names = about.get("class_names") or [f"class {i}" for i in range(network.num_classes)]
        vectors = torch.eye(network.num_classes) if network.num_classes else torch.zeros(1, 0)
        labels = list(zip(names or ["no classes"], vectors))
        studio = Studio(network, checkpoint, labels, found, drawing, thread_tuner(drawing, PATIENCE))
        blocks = make_page(studio, title)
        if host not in LOCAL:
            print(f"warning: everybody who reaches {host} can use this page.", flush=True)
        print(f"Open http://{host}:{port} in a browser. Ctrl-C ends the page.", flush=True)
        with fixed_weights():
            blocks.queue(default_concurrency_limit=2, max_size=64).launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                max_file_size=UPLOAD,
                ssr_mode=False,
                footer_links=[],
                theme=theme(),
                css=CSS,
                app_kwargs={"routes": [live.route(studio)]},
            )


def _require_gradio() -> None:
    if find_spec("gradio") is None:
        raise InputError(
            "Expected the package gradio, found that it is not installed. Install it: "
            'pip install "stylegan2[page]".'
        )


def _require_free(host: str, port: int) -> None:
    """Raises InputError if nothing can listen on the port."""
    if not 1 <= port <= 65535:
        raise InputError(f"--port expects a number from 1 to 65535, found {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise InputError(
            f"Expected that the page can listen on {printable(host)}, port {port}, found that it cannot "
            f"({error.strerror or error}). Choose another --port or --host."
        ) from error
