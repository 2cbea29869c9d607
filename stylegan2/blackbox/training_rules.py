"""Rules on a watched training step: losses, penalties, gradients, optimizers, averages and style mixing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from stylegan2.blackbox.watching import Watch
from stylegan2.probing.findings import Finding, fault, listed, note

if TYPE_CHECKING:
    from stylegan2.blackbox.audit import Averages

EPSILON = 1e-6
"""Largest ε of Adam. It is 1e-8 in the papers, and gradients of 1e-6 are usual in deep layers."""


def audit_findings(watch: Watch, averages: Averages, has_average: bool, iterations: int) -> Iterator[Finding]:
    """The findings of all rules."""
    yield from _optimizers(watch)
    yield from _losses(watch)
    yield from _ranges(watch)
    yield from _penalties(watch, averages, iterations)
    yield from _mixing(watch)
    yield from _averages(watch, averages, has_average)


def _optimizers(watch: Watch) -> Iterator[Finding]:
    held = [{id(p) for g in o.param_groups for p in g["params"]} for o in watch.optimizers]
    for letter, network in watch.networks.items():
        named = [(name, p) for name, p in network.named_parameters() if p.is_floating_point()]
        # A training step may switch requires_grad off and on, so frozen parameters count if they got gradients.
        free = [
            n
            for n, p in named
            if not any(id(p) in h for h in held) and (p.requires_grad or p.grad is not None)
        ]
        if free:
            yield fault(
                "parameters in no optimizer",
                f"{letter}: {listed(free)}: {len(free)} of {len(named)} parameters are in no optimizer, should "
                f"be none",
            )
        idle = [n for n, p in named if any(id(p) in h for h in held) and id(p) not in watch.with_gradient]
        if idle and watch.steps:
            yield fault(
                "parameters without gradient",
                f"{letter}: {listed(idle)}: {len(idle)} of {len(named)} parameters never had a gradient when their "
                "optimizer stepped; likely cause: a detached branch, or their network is frozen in its own step",
            )
    own = {k: {id(p) for p in n.parameters()} for k, n in watch.networks.items()}
    for i, optimizer in enumerate(watch.optimizers):
        steps = [s for s in watch.steps if s.optimizer == i]
        both = all(held[i] & ids for ids in own.values())
        name = "both networks" if both else next((k for k, ids in own.items() if held[i] & ids), "other")
        if both:
            yield fault(
                "optimizer holds both networks",
                f"optimizer {i} holds parameters of G and of D, so each loss moves both; should be one each",
            )
        if not steps:
            yield fault(
                "optimizer never steps", f"the optimizer of {name} (number {i}) did not step in any iteration"
            )
        dirty = [s for s in steps[1:] if not s.cleared]
        if dirty:
            yield fault(
                "gradients not zeroed",
                f"the optimizer of {name} stepped {len(dirty)} of {len(steps)} times on gradients that were not "
                f"zeroed "
                "since its last step; likely cause: zero_grad is missing for this optimizer",
            )
        elif not both:
            wrong = [
                s for s in steps if name in "GD" and any(b.scores and b.loss_of != name for b in s.backwards)
            ]
            if wrong:
                yield fault(
                    "gradients of the other loss",
                    f"the optimizer of {name} stepped {len(wrong)} of {len(steps)} times on gradients that contain "
                    "those of the other network's loss; likely cause: zero_grad before the wrong backward pass, or "
                    "generated images that are not detached",
                )
        for group in optimizer.param_groups[:1]:
            if group.get("eps", 0.0) > EPSILON:
                yield fault(
                    "Adam's epsilon",
                    f"the optimizer of {name} has eps = {group['eps']:g}, should be 1e-8 (limit {EPSILON:g}): a "
                    f"larger "
                    "one makes steps small where gradients are small",
                )
            if group.get("betas", (0.0,))[0] > 0.51:
                yield fault(
                    "Adam's beta",
                    f"the optimizer of {name} has β₁ = {group['betas'][0]:g}, should be 0 (0.5 is usual in other "
                    f"GANs)",
                )


def _losses(watch: Watch) -> Iterator[Finding]:
    slopes: dict[tuple[str, bool], list[torch.Tensor]] = {}
    points: dict[tuple[str, bool], list[torch.Tensor]] = {}
    for event in watch.backwards:
        for score in event.scores:
            if score.slopes is not None:
                key = event.loss_of, score.fake
                slopes.setdefault(key, []).append(score.slopes.flatten().float())
                points.setdefault(key, []).append(score.logits.flatten().float())
    mean = {key: float(torch.cat(values).mean()) for key, values in slopes.items()}
    real, fake, of_g = mean.get(("D", False), 0.0), mean.get(("D", True), 0.0), mean.get(("G", True), 0.0)
    if real > 0 and fake < 0:
        yield fault(
            "real and fake exchanged",
            f"D's loss has the slope {real:.2g} at logits of real images and {fake:.2g} at those of generated ones, "
            "should be negative and positive; likely cause: the two are exchanged, or the sign of the loss",
        )
    elif real > 0 or fake < 0:
        which = "real" if real > 0 else "generated"
        yield fault(
            "sign of D's loss",
            f"D's loss has the slope {real:.2g} at logits of real and {fake:.2g} at those of generated "
            f"images, should "
            f"be negative and positive; the one of {which} images has the wrong sign",
        )
    if of_g > 0 and not (real > 0 and fake < 0):
        yield fault(
            "sign of G's loss",
            f"G's loss has the slope {of_g:.2g} at logits of generated images, should be negative, so that G raises "
            "them; likely cause: the sign of the loss",
        )
    if ("G", True) in slopes:
        s, x = torch.cat(slopes["G", True]).abs(), torch.cat(points["G", True])
        x, s = x[s > 0], s[s > 0]
        if len(s) > 3 and x.std() > 1e-6 and s.std() > 1e-4 * s.mean():
            correlation = float(torch.corrcoef(torch.stack([x, s.log()]))[0, 1])
            if correlation > 0.8:
                yield fault(
                    "saturating loss",
                    f"the slope of G's loss grows with the logit (correlation {correlation:.2f}), so it vanishes "
                    f"where "
                    "D is sure that an image is generated; should fall; likely cause: log(1 - sigmoid(D)) instead of "
                    "softplus(-D)",
                )


def _ranges(watch: Watch) -> Iterator[Finding]:
    reals = [s for s in watch.scores if not s.fake]
    if not reals:
        yield fault("no real images", "D was never called on images that G did not make")
        return
    low, high = min(s.low for s in reals), max(s.high for s in reals)
    made = min((f[0] for f in watch.fakes), default=0.0)
    if high > 3:
        yield fault(
            "range of reals", f"real images are in [{low:.3g}, {high:.3g}], should be in [-1, 1]; divide them"
        )
    elif low >= -1e-3 and high <= 1.01 and made < -0.05:
        yield fault(
            "range of reals",
            f"real images are in [{low:.3g}, {high:.3g}] and generated ones reach down to {made:.3g}, should "
            f"both be in "
            "[-1, 1]; likely cause: x * 2 - 1 is missing (a factor of 2)",
        )


def _penalties(watch: Watch, averages: Averages, iterations: int) -> Iterator[Finding]:
    images = [d for d in watch.derivatives if d.of.endswith("images")]
    reals = [d for d in images if d.of == "real images"]
    if images and not reals:
        yield fault(
            "R1 on generated images",
            f"the gradient penalty is taken at generated images in all {len(images)} evaluations, should be "
            f"at real ones",
        )
    bad = [d for d in images if not d.create_graph]
    if bad:
        yield fault(
            "R1 has no gradient",
            f"torch.autograd.grad with respect to images has create_graph=False {len(bad)} of {len(images)} "
            f"times, so "
            "the penalty does not reach the weights; should be create_graph=True",
        )
    lengths = [d for d in watch.derivatives if d.of == "ws"]
    bad = [d for d in lengths if not d.create_graph]
    if bad:
        yield fault(
            "path length has no gradient",
            f"torch.autograd.grad with respect to ws has create_graph=False {len(bad)} of {len(lengths)} "
            f"times, so the "
            "penalty does not reach the weights; should be create_graph=True",
        )
    bad = [d for d in lengths if not d.reaches_mapping]
    if bad:
        yield fault(
            "path length stops at ws",
            f"ws of shape {bad[0].shape} were not computed from parameters in {len(bad)} of {len(lengths)} "
            f"evaluations, "
            "so path length does not train the mapping network; likely cause: ws are detached",
        )
    for name, group in (("R1", images), ("path length", lengths)):
        at = sorted({d.iteration for d in group})
        gaps = {b - a for a, b in zip(at, at[1:])}
        if len(gaps) > 1:
            yield fault("cadence", f"{name} is evaluated in iterations {at}, should be at equal distances")
    for name, values in averages.numbers.items():
        if lengths and len(values) > 1 and max(values) - min(values) < 1e-9:
            yield fault(
                "path length mean not updated",
                f"{name} stays at {values[0]:.4g} over {iterations} iterations with {len(lengths)} evaluations "
                f"of path "
                "length, should move by 1 % of the way to the mean length each time",
            )


def _mixing(watch: Watch) -> Iterator[Finding]:
    calls = watch.crossovers
    if len(calls) < 8:
        return
    mixed = [row for row, _ in calls if row]
    rows = calls[0][1]
    if not mixed:
        if len(calls) >= 16:
            yield fault(
                "no style mixing",
                f"all rows of ws are equal in all {len(calls)} calls of the synthesis network, should differ in "
                f"90 % of "
                "them (style mixing with probability 0.9)",
            )
        return
    last, first, n = max(mixed), min(mixed), len(mixed)
    for seen, share in (
        (f"at most {last}", last / (rows - 1)),
        (f"at least {first}", (rows - first) / (rows - 1)),
    ):
        if share < 1 and share**n < 1e-3:
            yield fault(
                "range of style mixing",
                f"ws change at row {seen} in {n} calls with mixing, should be uniform in 1 to {rows - 1}; the "
                f"probability of this by chance is {share**n:.1g}",
            )


def _averages(watch: Watch, averages: Averages, has_average: bool) -> Iterator[Finding]:
    for name, (change, norm) in averages.w_avg.items():
        if change == 0:
            yield fault(
                "w_avg not tracked",
                f"G: {name} did not change (norm {norm:.3g}), should follow the mean of w; likely cause: it is never "
                "updated, so truncation goes to the wrong place",
            )
    if not has_average:
        return
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
            f"the running average did not move (β = {middle:.6g}), should move by 1 - β to the weights after "
            f"each step",
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
