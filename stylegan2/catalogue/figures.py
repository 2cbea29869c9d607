"""The picture of what an output depends on."""

from __future__ import annotations

from pathlib import Path

from stylegan2.catalogue.measure import Measurement
from stylegan2.files import replacing


def write_mask(m: Measurement, path: Path) -> None:
    """Draw the mask: two rows of samples, three columns of channels, 5×5 pixels each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    largest = max(value for cell in m.mask for line in cell for value in line) or 1.0
    figure = Figure(figsize=(1.5, 1.05), dpi=100)
    FigureCanvasAgg(figure)
    for i, cell in enumerate(m.mask):
        axis = figure.add_axes((0.02 + (i % 3) * 0.33, 0.52 - (i // 3) * 0.5, 0.3, 0.44))
        # The fourth root shows small dependencies beside that of a pixel on itself.
        axis.imshow([[(v / largest) ** 0.25 for v in line] for line in cell], vmin=0, vmax=1, cmap="viridis")
        axis.set(xticks=[], yticks=[])
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
