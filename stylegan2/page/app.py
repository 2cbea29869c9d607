"""The page itself: its controls, and what follows from them. All that a visitor sends is brought into bounds."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import gradio as gr
from PIL import Image

from . import live
from .picture import PSI, SEEDS, STRENGTH, Choice, Studio, element
from .projecting import STEPS, project

VIEW = "view"
"""The identifier of the element with the picture."""

SIDE, SMALL = 512, 320
"""Pixels of the longer side of pictures on the screen."""

WALL = 24
"""Pictures of a wall."""

DIRECTIONS = 10
"""Most sliders for directions."""

CSS = "footer { display: none !important } .gradio-container { max-width: 1200px !important }"


def make_page(studio: Studio, title: str) -> gr.Blocks:
    """Make the page of a network. `launch` of the result opens it."""
    blocks = gr.Blocks(analytics_enabled=False, title=title, delete_cache=(60, 600))
    with blocks:
        gr.Markdown(f"**{title}**, {studio.network.image_size[0]}×{studio.network.image_size[1]} pixels")
        with gr.Tab("Picture"):
            controls, outputs = _picture_tab(studio)
        with gr.Tab("Wall of seeds"):
            _wall_tab(studio, controls, outputs)
        with gr.Tab("Find a picture"):
            _projection_tab(studio)
        shown = {"fn": _shower(studio), "inputs": controls, "outputs": outputs, "show_progress": "hidden"}
        blocks.load(**shown, api_visibility="private")
        for control in controls:
            changed, js = control.change, None
            if isinstance(control, gr.Slider):
                changed, js = control.input, live.script(VIEW, len(controls))
            changed(**shown, js=js, trigger_mode="always_last", api_visibility="private")
    return blocks


def _picture_tab(studio: Studio) -> tuple[list[Any], list[Any]]:
    """The controls, in the order of `Studio.choice`, and the outputs of `_shower`."""
    rows = studio.network.num_ws
    with gr.Row():
        with gr.Column(scale=1):
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=SEEDS)
            psi = gr.Slider(-PSI, PSI, 1.0, step=0.05, label="ψ, truncation: 1 is none, 0 the mean picture")
            noise = gr.Radio(["const", "random", "none"], value="const", label="Noise")
            names = [(name, number) for number, (name, _) in enumerate(studio.labels)]
            label = gr.Dropdown(names, value=0, label="Class", visible=len(names) > 1)
            with gr.Accordion("Mix with a second seed", open=False):
                other = gr.Number(1, label="Second seed", precision=0, minimum=0, maximum=SEEDS)
                towards = gr.Slider(0, 1, 0, step=0.01, label="Part of the way to the second seed")
                first = gr.Slider(
                    0, rows - 1, 0, step=1, label="Layers from the second seed: first, 0 is coarsest"
                )
                last = gr.Slider(-1, rows - 1, -1, step=1, label="last, -1 is none")
            with gr.Accordion("Directions", open=True, visible=bool(studio.vectors)):
                sliders = [
                    gr.Slider(-STRENGTH, STRENGTH, 0, step=0.1, label=name)
                    for name in list(studio.vectors)[:DIRECTIONS]
                ]
        with gr.Column(scale=2):
            view = gr.HTML(elem_id=VIEW)
            command = gr.Textbox(
                label="The command that makes this picture again", interactive=False, buttons=["copy"]
            )
    controls = [seed, other, first, last, towards, psi, noise, label, *sliders]
    return controls, [view, command]


def _shower(studio: Studio) -> Any:
    def show(*values: Any) -> tuple[str, str]:
        choice = studio.choice(values)
        ws, name = studio.ws(choice), f"seed{choice.seed:04d}"
        picture = studio.picture_of(ws, choice)
        return element(picture, SIDE, f"picture of seed {choice.seed}", name, ws), studio.command(choice)

    return show


def _wall_tab(studio: Studio, controls: list[Any], outputs: list[Any]) -> None:
    picked = gr.State(())
    with gr.Row():
        page = gr.Number(0, label="Page", precision=0, minimum=0)
        draw = gr.Button("Show this page", variant="primary", elem_id="show-wall")
    gr.Markdown("Choose a picture to open it. The last two that you chose are the ends of the walk below.")
    gallery = gr.Gallery(columns=8, object_fit="contain", allow_preview=False, label="Seeds", elem_id="wall")
    with gr.Row():
        part = gr.Slider(0, 1, 0.5, step=0.02, label="Part of the way from the first pick to the second")
        between = gr.HTML(elem_id="between")

    def show(number: Any, *values: Any) -> list[tuple[Image.Image, str]]:
        return [
            (picture, f"seed {seed}") for picture, seed in studio.wall(number, WALL, studio.choice(values))
        ]

    def pick(event: gr.SelectData, number: Any, before: Any, *values: Any) -> tuple[Any, ...]:
        bounded = studio.bounded(Choice(seed=int(event.index) if isinstance(event.index, int) else 0))
        seed = max(0, int(number or 0)) * WALL + bounded.seed
        chosen = (*before[-1:], seed)
        values = (seed, chosen[0], *values[2:])
        return (seed, chosen[0], chosen, *_shower(studio)(*values), walk(0.5, chosen, *values))

    def walk(position: Any, chosen: Any, *values: Any) -> str:
        if len(chosen) < 2:
            return "<p>Choose two pictures.</p>"
        ends = (chosen[0], chosen[1], 0, -1, position, *values[5:])
        about = f"between seeds {chosen[0]} and {chosen[1]}"
        return element(studio.picture(studio.choice(ends)), SMALL, about)

    draw.click(show, [page, *controls], gallery, api_visibility="private")
    page.submit(show, [page, *controls], gallery, api_visibility="private")
    gallery.select(
        pick,
        [page, picked, *controls],
        [controls[0], controls[1], picked, *outputs, between],
        show_progress="hidden",
        api_visibility="private",
    )
    part.input(
        walk,
        [part, picked, *controls],
        between,
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
    )


def _projection_tab(studio: Studio) -> None:
    with gr.Row():
        with gr.Column():
            upload = gr.Image(
                type="pil", sources=["upload", "clipboard"], image_mode=None, label="Your picture"
            )
            steps = gr.Slider(20, STEPS, 100, step=10, label="Steps")
            names = [(name, number) for number, (name, _) in enumerate(studio.labels)]
            label = gr.Dropdown(names, value=0, label="Class", visible=len(names) > 1)
            start = gr.Button("Find it", variant="primary")
        with gr.Column():
            view, told = gr.HTML(), gr.Markdown()

    def find(picture: Image.Image | None, count: Any, number: Any) -> Iterator[tuple[Any, ...]]:
        if picture is None:
            raise gr.Error("Upload a picture first.")
        choice = studio.bounded(Choice(label=number))
        for step, found, ws in project(studio, picture, int(count), choice.label):
            yield element(found, SIDE, f"step {step}", "projected", ws), f"Step {step} of {int(count)}"
        command = shlex.join([*studio.generate, "--latent", "projected.safetensors"])
        yield gr.skip(), f"Done. `{command}` makes a picture of the latent."

    start.click(
        find,
        [upload, steps, label],
        [view, told],
        concurrency_limit=1,
        show_progress="hidden",
        api_visibility="private",
    )


def theme() -> gr.themes.Base:
    """Gradio's plain theme with fonts of the visitor's system, so that none is loaded."""
    return gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
