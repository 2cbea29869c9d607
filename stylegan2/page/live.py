"""Pictures while a slider moves: a route that answers with PNG files, and the script in the browser that asks.

The page shows every picture by Gradio's queue, which takes longer than a small network. While a slider moves, the
script therefore fetches the pictures from this route, one after the other and always of the newest values. When the
slider rests, Gradio shows the picture with its links and its command, as for any other control.
"""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stylegan2.images import png

from .picture import Studio

PATH = "live-picture"

REST = 150
"""A slider rests after so many milliseconds without a change."""


def route(studio: Studio) -> Route:
    """`GET /live-picture?values=[...]`, with the values of `Studio.choice` as JSON. The answer is a PNG file."""

    def answer(request: Request) -> Response:
        try:
            values = json.loads(request.query_params.get("values", ""))
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, list):
            return PlainTextResponse("Expected values=[...], a JSON list of the values of controls.", 400)
        picture = png(studio.picture(studio.choice(values)), compression=1)
        return Response(picture, media_type="image/png", headers={"Cache-Control": "no-store"})

    return Route(f"/{PATH}", answer)


def script(view: str, count: int) -> str:
    """The JavaScript function that Gradio calls at every change of a slider, before it calls Python.

    The function shows pictures as long as there are newer values. It returns when the slider rests. Calls that a
    newer one has replaced never return, so that Python is called once.

    Args:
        view: The identifier of the element that holds the picture.
        count: Number of controls. Gradio passes their values first, and those of outputs after them.
    """
    return f"""async (...values) => {{
  const live = (window.livePicture ??= {{calls: 0, busy: false, values: null, address: null}});
  const call = ++live.calls;
  live.values = values.slice(0, {count});
  if (!live.busy) {{
    live.busy = true;
    try {{
      for (let shown = null; shown !== live.values; ) {{
        shown = live.values;
        const query = "{PATH}?values=" + encodeURIComponent(JSON.stringify(shown));
        const answer = await fetch(new URL(query, document.baseURI));
        if (!answer.ok) break;
        const address = URL.createObjectURL(await answer.blob());
        const image = document.querySelector("#{view} img");
        if (!image) break;
        image.src = address;
        await image.decode();
        if (live.address) URL.revokeObjectURL(live.address);
        live.address = address;
      }}
    }} catch {{
      // The page shows the picture when the slider rests.
    }} finally {{
      live.busy = false;
    }}
  }}
  await new Promise((resolve) => setTimeout(resolve, {REST}));
  return call === live.calls ? live.values : new Promise(() => {{}});
}}"""
