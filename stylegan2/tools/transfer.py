"""`stylegan2 transfer`: measures how signal, gradient and steps grow with the size of the networks."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from stylegan2.coordinates.plan import AXES, Over, chosen
from stylegan2.errors import InputError
from stylegan2.files import text_table


def transfer(over: Over, out: str = "transfer", seeds: int = 4, variants: str = "all") -> None:
    """Measure which power of the size each quantity grows with, as configured by default and with scalings off.

    This is a coordinate check. Networks of five sizes are measured before training, and after 1, 2, 4 and 8 steps of
    Adam. A scaling is right if signal, gradient and steps keep their size (exponent 0), because then learning rate
    and penalties that are right at one size stay right at the others. The report compares the measured exponents
    with the predicted ones.

    Args:
        over: What grows: width (feature maps), depth (blocks), resolution (pixels), batch, or latent_dim (entries
            of z).
        out: Folder for report.html, report.md, its plots and transfer.json.
        seeds: Number of networks of each size.
        variants: Scalings to switch off, one at a time: all, or names with commas, such as
            weight_scaling,residual_gain.

    Raises:
        InputError: A name is not that of a scaling, or there are no seeds.
    """
    if seeds < 1:
        raise InputError(f"Expected --seeds of 1 or more, found {seeds}. Try 4.")
    names, axis = chosen(variants), AXES[over]

    # Imported here, so that --help need not import matplotlib.
    from stylegan2.coordinates.fit import slopes
    from stylegan2.coordinates.measure import measure
    from stylegan2.coordinates.report import number, write_report

    runs = len(names) * seeds * len(axis.sizes)
    measured: dict[str, list[list[dict[str, float]]]] = {}
    with tqdm(total=runs, desc="Measuring", unit="network") as bar:
        for name in names:
            measured[name] = [[] for _ in range(seeds)]
            for seed in range(seeds):
                for size in axis.sizes:
                    measured[name][seed].append(measure(size, name, seed))
                    bar.update()
    found = slopes(axis, over, measured)
    page = write_report(Path(out), over, axis, measured, found)
    rows = [
        [
            s.variant,
            s.quantity + (" / default" if s.relative else ""),
            f"{s.predicted:g}",
            number(s),
            s.verdict,
        ]
        for s in found
        if s.predicted is not None
    ]
    print(text_table(["variant", "quantity", "predicted", "measured", ""], rows))
    print(
        f"\nThe slope is the {axis.slope_of}.\nReport     {page}\nNumbers    {page.with_name('transfer.json')}"
    )
