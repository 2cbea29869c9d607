"""Rules on a watched training step: optimizers and gradients, losses, images, latents and style mixing."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from stylegan2.blackbox.events import repeated
from stylegan2.blackbox.watching import Watch
from stylegan2.probing.findings import Finding, fault, listed, note

EPSILON = 1e-6
"""Largest ε of Adam. It is 1e-8 in the papers, and gradients of 1e-6 are usual in deep layers."""

SHIFT = -8.0
"""What is added to all logits in one iteration at the end, so that D is sure that images are generated."""


def training_findings(watch: Watch, shifted: Watch, average: nn.Module | None) -> Iterator[Finding]:
    """The findings on optimizers, losses, images, latents and style mixing.

    Args:
        watch: What was watched.
        shifted: One more iteration, with `SHIFT` added to the logits.
        average: The running average of the generator.
    """
    yield from _optimizers(watch, average)
    yield from _losses(watch, shifted)
    yield from _inputs(watch)
    yield from _mixing(watch)


def _optimizers(watch: Watch, average: nn.Module | None) -> Iterator[Finding]:
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
                f"{letter}: {listed(free)}: {len(free)} of {len(named)} parameters are in no optimizer, should be "
                "none",
            )
        idle = [n for n, p in named if any(id(p) in h for h in held) and id(p) not in watch.with_gradient]
        if idle and watch.steps:
            yield fault(
                "parameters without gradient",
                f"{letter}: {listed(idle)}: {len(idle)} of {len(named)} parameters never had a gradient when their "
                "optimizer stepped; likely cause: a detached branch, or their network is frozen in its own step",
            )
    own = {k: {id(p) for p in n.parameters()} for k, n in watch.networks.items()}
    averaged = {id(p) for p in average.parameters()} - own["G"] if average is not None else set()
    for i, optimizer in enumerate(watch.optimizers):
        steps = [s for s in watch.steps if s.optimizer == i]
        both = all(held[i] & ids for ids in own.values())
        name = "both networks" if both else next((k for k, ids in own.items() if held[i] & ids), "other")
        if both:
            yield fault(
                "optimizer holds both networks",
                f"optimizer {i} holds parameters of G and of D, so each loss moves both; should be one each",
            )
        if held[i] & averaged:
            yield fault(
                "optimizer holds the average",
                f"optimizer {i} holds {len(held[i] & averaged)} parameters of the running average, should hold those "
                "of the generator",
            )
        if not steps:
            yield fault(
                "optimizer never steps", f"the optimizer of {name} (number {i}) did not step in any iteration"
            )
        elif all(s.lr == 0 for s in steps):
            yield fault(
                "learning rate is zero",
                f"the optimizer of {name} has a learning rate of 0 in all {len(steps)} steps; likely cause: a "
                "schedule",
            )
        dirty = [s for s in steps[1:] if not s.cleared]
        if dirty:
            yield fault(
                "gradients not zeroed",
                f"the optimizer of {name} stepped {len(dirty)} of {len(steps)} times on gradients that were not "
                "zeroed since its last step; likely cause: zero_grad is missing for this optimizer",
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
                    "larger one makes steps small where gradients are small",
                )
            if group.get("betas", (0.0,))[0] > 0.51:
                yield fault(
                    "Adam's beta",
                    f"the optimizer of {name} has β₁ = {group['betas'][0]:g}, should be 0 (0.5 is usual in other "
                    "GANs)",
                )


def slopes_of(
    watch: Watch,
) -> tuple[dict[tuple[str, bool], list[Tensor]], dict[tuple[str, bool], list[Tensor]]]:
    """Slopes of the losses and the logits at which they were, by (whose loss, whether the images were generated)."""
    slopes: dict[tuple[str, bool], list[Tensor]] = {}
    points: dict[tuple[str, bool], list[Tensor]] = {}
    for event in watch.backwards:
        for score in event.scores:
            if score.slopes is not None:
                key = event.loss_of, score.fake
                slopes.setdefault(key, []).append(score.slopes.flatten().float())
                points.setdefault(key, []).append(score.logits.flatten().float())
    return slopes, points


def _losses(watch: Watch, shifted: Watch) -> Iterator[Finding]:
    slopes, points = slopes_of(watch)
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
            f"D's loss has the slope {real:.2g} at logits of real and {fake:.2g} at those of generated images, "
            f"should be negative and positive; the one of {which} images has the wrong sign",
        )
    if of_g > 0 and not (real > 0 and fake < 0):
        yield fault(
            "sign of G's loss",
            f"G's loss has the slope {of_g:.2g} at logits of generated images, should be negative, so that G raises "
            "them; likely cause: the sign of the loss",
        )
    for (whose, fake), values in slopes.items():
        # The slope of softplus(±logit) is the sigmoid of ±logit, divided by N in a mean.
        s, x = torch.cat(values), torch.cat(points[whose, fake])
        ratios = s.abs() / (x if fake and whose == "D" else -x).sigmoid()
        if len(s) > len(values) and bool((ratios - 1).abs().max() < 1e-3):
            yield fault(
                "loss is a sum over the batch",
                f"{whose}'s logistic loss has the slope of a single image at the logits of "
                f"{'generated' if fake else 'real'} images, should be 1/{len(values[0])} of it, that of the mean "
                "over the batch; so γ and the other weights count less by this factor",
            )
            break
    sure = slopes_of(shifted)[0].get(("G", True), [])
    if sure and of_g < 0 and abs(float(torch.cat(sure).mean())) < 0.2 * abs(of_g):
        yield fault(
            "saturating loss",
            f"the slope of G's loss is {of_g:.2g}, and {float(torch.cat(sure).mean()):.2g} if all logits are "
            f"{-SHIFT:g} lower, so it vanishes where D is sure that an image is generated; should not; likely cause: "
            "log(1 - sigmoid(D)) instead of softplus(-D), or one sigmoid too many",
        )


def _inputs(watch: Watch) -> Iterator[Finding]:
    """The range of real images, and whether images and latents come again in every iteration."""
    if repeated(watch.latents):
        yield fault(
            "latents repeat",
            f"G gets the same latents in all {len(watch.latents)} iterations, should get new ones; likely cause: a "
            "seed that is set in the step, or latents that are drawn once",
        )
    reals = [s for s in watch.scores if not s.fake]
    if not reals:
        yield fault("no real images", "D was never called on images that G did not make")
        return
    seen: dict[int, list[Tensor]] = {}
    for score in reals:
        seen.setdefault(score.iteration, []).append(score.image)
    if repeated(seen):
        yield fault(
            "reals repeat",
            f"D gets the same real images in all {len(seen)} iterations; likely cause: the loader starts again in "
            "every iteration",
        )
    low, high = min(s.low for s in reals), max(s.high for s in reals)
    made = min((f[0] for f in watch.fakes), default=0.0)
    if high > 3:
        yield fault(
            "range of reals", f"real images are in [{low:.3g}, {high:.3g}], should be in [-1, 1]; divide them"
        )
    elif low >= -1e-3 and high <= 1.01 and made < -0.05:
        yield fault(
            "range of reals",
            f"real images are in [{low:.3g}, {high:.3g}] and generated ones reach down to {made:.3g}, should both be "
            "in [-1, 1]; likely cause: x * 2 - 1 is missing (a factor of 2)",
        )
    elif low < -1.2 or high > 1.2:
        yield note(
            "range of reals",
            f"real images are in [{low:.3g}, {high:.3g}], usual is [-1, 1]; this is right if they are augmented, and "
            "wrong if they are standardized, as for networks trained on ImageNet",
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
                f"all rows of ws are equal in all {len(calls)} calls of the synthesis network, should differ in 90 % "
                "of them (style mixing with probability 0.9)",
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
