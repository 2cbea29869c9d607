"""The report of a study of an optimum: report.html, report.md with its figures, and the numbers as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from stylegan2.coordinates.fit import Slope
from stylegan2.coordinates.report import number
from stylegan2.files import json_text, markdown_table, replacing, write_text
from stylegan2.html_page import document, escaped, svg, table
from stylegan2.optimum.charts import figures, score_name
from stylegan2.optimum.plan import Plan
from stylegan2.optimum.study import Curves
from stylegan2.optimum.summary import HEAD, Variant, row, sentences


def write_report(
    plan: Plan, scores: Curves, variants: Sequence[Variant], growth: Mapping[str, Sequence[Slope]]
) -> Path:
    """Write report.html, report.md, the figures and optimum.json into the folder. Returns the path of the HTML page.

    Args:
        plan: The study.
        scores: Of all runs.
        variants: The summaries.
        growth: Slopes of what was measured at the start, by the quantity.
    """
    drawn = figures(plan, scores, variants)
    title = f"Where is the best {plan.name}" + (
        f", and does it move with {plan.over}?"
        if len(plan.numbers) > 1
        else f" at {plan.label(plan.numbers[0])}?"
    )
    said = sentences(plan, variants)
    lines = [row(plan, curve) for variant in variants for curve in variant.curves]
    starts = [[s.variant, quantity, number(s)] for quantity, found in growth.items() for s in found]
    head = (
        "variant",
        "at the start",
        f"exponent in {plan.over}" if plan.over != "depth" else "log₂ per block",
    )
    for name, (_, figure) in drawn.items():
        with replacing(plan.out / "figures" / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=100, bbox_inches="tight")
    parts = [
        f"# {title}",
        measured(plan),
        "\n".join(f"- {text}" for text in said),
        markdown_table(HEAD, lines),
        markdown_table(head, starts) if starts else "",
        *(f"![{name}](figures/{name}.png)\n\n{about}" for name, (about, _) in drawn.items()),
        f"To write this report again: `{plan.command}`.",
    ]
    write_text(plan.out / "report.md", "\n\n".join(filter(None, parts)) + "\n")
    body = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="lead">{escaped(measured(plan))}</p>',
        '<ul class="facts">' + "".join(f"<li>{escaped(text)}</li>" for text in said) + "</ul>",
        *(
            f'<figure>{svg(figure)}</figure><p class="about">{escaped(about)}</p>'
            for about, figure in drawn.values()
        ),
        table(HEAD, map(_escaped, lines)),
        table(head, map(_escaped, starts)) if starts else "",
        f'<p class="about">To write this report again: <code>{escaped(plan.command)}</code></p>',
    ]
    write_text(plan.out / "report.html", document(title, "report.css", "".join(body)))
    numbers = {
        "plan": asdict(plan) | {"out": str(plan.out)},
        "scores": {f"{variant} at {n}": of_seeds.tolist() for (variant, n), of_seeds in scores.items()},
        "variants": [asdict(variant) for variant in variants],
        "growth": {quantity: [asdict(s) for s in found] for quantity, found in growth.items()},
    }
    write_text(plan.out / "optimum.json", json_text(numbers))
    return plan.out / "report.html"


def _escaped(cells: Sequence[str]) -> list[str]:
    return [escaped(cell) for cell in cells]


def measured(plan: Plan) -> str:
    """How it was measured, in words."""
    sizes = ", ".join(plan.label(number) for number in plan.numbers)
    task = (
        "A discriminator alone learns to tell drawings from blends of two of them."
        if plan.task == "discriminator"
        else "Small GANs are trained."
    )
    return (
        f"{task} The score is {score_name(plan)}, and lower is better. {len(plan.values)} values of {plan.name} from "
        f"{plan.values[0]:g} to {plan.values[-1]:g} at {sizes}, {plan.seeds} seeds, {plan.kimg:g} kimg per training. "
        "A value trains if its score is at most 1.5 times the default's best at that size. The optimum is the vertex "
        "of a parabola in the logarithms, and intervals of 95 % come from the differences between seeds."
    )
