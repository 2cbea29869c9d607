"""Rules on running averages: that of the generator's weights, its buffers, and the mean of w."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

from stylegan2.blackbox.means import MeanOfW
from stylegan2.probing.findings import Finding, fault, listed, note

if TYPE_CHECKING:
    from stylegan2.blackbox.audit import Averages


def mean_findings(means: dict[str, MeanOfW]) -> Iterator[Finding]:
    """Findings on buffers that follow the mean of w."""
    for name, m in means.items():
        if m.named and not m.changed:
            yield fault(
                "w_avg not tracked",
                f"G: {name} did not change (norm {float(m.end.norm()):.3g}), should follow the mean of w; likely "
                "cause: it is never updated, so truncation goes to the wrong place",
            )
        elif len(m.totals) >= 3:
            total, move = median(m.totals), median(m.moves)
            if max(m.totals) - min(m.totals) < 0.2 * abs(total) and abs(total - 1) > 0.1:
                yield fault(
                    "w_avg is not the mean of w",
                    f"G: {name} moves to {total:.3g} times the mean of w, should be 1; likely cause: the sum over a "
                    "batch instead of its mean, or the wrong factor",
                )
            elif move > 0.5 and m.named:
                yield fault(
                    "w_avg follows one batch",
                    f"G: {name} moves by {move:.3g} of the way to the mean of w in an iteration, should be "
                    "0.002 to 0.02; likely cause: β and 1 - β are exchanged",
                )
        elif m.named and m.direction is not None and m.direction < 0.3:
            yield fault(
                "w_avg is not the mean of w",
                f"G: {name} moves in a direction whose cosine with that of the mean of w over "
                f"{len(m.means)} batches is {m.direction:.2f}, should be near 1; likely cause: it is the mean of "
                "something else, such as z, or over another axis",
            )


def average_findings(averages: Averages) -> Iterator[Finding]:
    """Findings on the running average of the generator."""
    all_betas = {k: [b for b in v if math.isfinite(b)] for k, v in averages.betas.items()}
    known = {k: sum(v) / len(v) for k, v in all_betas.items() if v}
    if not known:
        yield note(
            "average", "the running average equals the weights in all iterations, or has other parameters"
        )
        return
    middle = sorted(known.values())[len(known) // 2]
    if middle > 1 - 1e-7:
        yield fault(
            "average not updated",
            f"the running average did not move (β = {middle:.6g}), should move by 1 - β to the weights after each "
            "step",
        )
    elif middle < 0.05:
        yield fault(
            "average equals weights",
            f"the running average has β = {middle:.3g}, should be near 1, such as 0.5^(batch/10000); likely cause: "
            "β and 1 - β are exchanged",
        )
    odd = [k for k, v in known.items() if abs(v - middle) > 0.2 * (1 - middle) + 1e-4]
    if odd and len(odd) < len(known):
        yield fault(
            "average incomplete",
            f"{listed(odd)}: {len(odd)} of {len(known)} parameters move with β = {known[odd[0]]:.5g}, others with "
            f"{middle:.5g}; likely cause: they are left out of the average",
        )
    if averages.stale_buffers:
        yield fault(
            "buffers of the average",
            f"{listed(averages.stale_buffers)}: buffers of the average differ from those of G, should be copied",
        )
