"""What is said of a measurement: faults and notes, and those that hold for any network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stylegan2.probing.measure import Row

EXTREME = 100.0
"""A signal that changes by more than this from one end of a network to the other has left the range in which
layers at unit scale can work together; unit scale itself keeps it within a factor of 3 or so."""

SATURATED = 0.05
"""Share of clamped values from which a clamp shapes the signal rather than catching outliers: of a normal
distribution it is the share beyond two standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fault, or a note on something that only looks unusual, with the number behind it."""

    name: str
    text: str
    fault: bool = True

    def __str__(self) -> str:
        return f"{'FAULT' if self.fault else 'note'}: {self.name}: {self.text}"


def fault(name: str, text: str) -> Finding:
    return Finding(name=name, text=text)


def signal_findings(rows: list[Row], where: str = "") -> list[Finding]:
    """What can be said of any network: non-finite values, runaway scale, saturated clamps, cut gradients.

    `where` names the network in the text.
    """
    findings = []
    where = f"{where}: " if where else ""
    layers = [row for row in rows if row.leaf]
    for row in layers:
        if row.nonfinite:
            findings.append(
                Finding(
                    name="non-finite values",
                    text=f"{where}{row.name}: {row.nonfinite:.1%} of its output is NaN or infinite; "
                    "likely cause: overflow before it, or a root or logarithm of zero",
                )
            )
            break  # everything after it is NaN too
        if row.clamped is not None and row.clamped > SATURATED:
            findings.append(
                Finding(
                    name="saturated clamp",
                    text=f"{where}{row.name}: {row.clamped:.1%} of its values are at the clamp, "
                    f"should be below {SATURATED:.0%}; likely cause: clamp too low, or a signal that "
                    "grows on the way",
                )
            )
    chain = [row for row in layers if row.rms > 0 and math.isfinite(row.rms)]
    if len(chain) > 2:
        first, last = chain[0], max(chain[1:], key=lambda row: abs(math.log(row.rms / chain[0].rms)))
        change = last.rms / first.rms
        if not 1 / EXTREME < change < EXTREME:
            what = "exploding" if change > 1 else "vanishing"
            findings.append(
                Finding(
                    name=f"{what} depth",
                    text=f"{where}rms goes from {first.rms:.3g} ({first.name}) to {last.rms:.3g} "
                    f"({last.name}), ×{change:.3g}, should stay within ×{EXTREME:.0f}; likely cause: a "
                    "gain or an initialisation that does not keep unit variance",
                )
            )
    dead = [row.name for row in layers if row.weight is not None and row.step == 0]
    if dead:
        findings.append(
            Finding(
                name="no gradient",
                text=f"{where}{', '.join(dead[:5])}{' …' if len(dead) > 5 else ''}: {len(dead)} of "
                f"{len(layers)} layers get no gradient; likely cause: a detached or unused branch, or a "
                "factor of zero",
            )
        )
    return findings
