"""From numbers to words: one examination of a pair of networks and their losses, and what is wrong."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from stylegan2.probing import anatomy, influence
from stylegan2.probing.checks import NETWORK_CHECKS
from stylegan2.probing.findings import Finding, fault, signal_findings
from stylegan2.probing.loss_checks import LOSS_CHECKS, interval_findings
from stylegan2.probing.measure import Probe, as_found, probe
from stylegan2.probing.precision import low_precision_errors
from stylegan2.probing.rehearse import Rehearsal, penalty_weights
from stylegan2.training.losses import discriminator_loss, generator_loss
from stylegan2.training.module import StyleGAN2

UNEVEN = 3.0
"""Ratio of the fastest to the slowest layer's relative Adam step: 1 with equalized weights; without, the root
of the ratio of fan-ins, which is √(9·32/3) = 10 in the smallest discriminator."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """Everything measured on one pair of networks, and what it means."""

    iteration: int
    generator: Probe
    discriminator: Probe
    numbers: dict
    anatomy: dict
    findings: list[Finding]

    @property
    def faults(self) -> list[Finding]:
        return [f for f in self.findings if f.fault]

    def to_dict(self) -> dict:
        return asdict(self)


def examine(
    model: StyleGAN2,
    reals: Tensor,
    labels: Tensor,
    seed: int = 0,
    rehearsal: Rehearsal | None = None,
    progress: bool = False,
) -> Examination:
    """Measure networks and losses on a batch, and diagnose.

    Args:
        model: Networks and losses; left as they were.
        reals: (N, C, R, R) in [-1, 1], N a multiple of the discriminator's minibatch group, or below it.
        labels: (N, num_classes).
        seed: Of latents, noise and everything drawn.
        rehearsal: What was seen of training, if the model was trained just before.
        progress: Show a bar, with an estimate of the time left, if it takes longer than seconds.
    """
    generator, discriminator, n = model.generator, model.discriminator, len(reals)
    # At most 3, which is no number of rows of ws: a mean over the wrong axis then shows in the shape.
    lengths = min(max(n // 2, 1), 3)
    total = 13 * n + 6 * lengths + influence.influence_passes(n, generator.num_ws)
    bar = tqdm(total=total, disable=not progress, delay=5, desc="Examining", unit="pass", leave=False)
    with bar, as_found(model, seed), influence.evaluating(generator):
        z = torch.randn(n, generator.z_dim, generator=torch.Generator().manual_seed(seed)).to(reals)
        g = probe(
            generator,
            (z, labels),
            lambda images: generator_loss(discriminator(images, labels)),
            learning_rate=model.learning_rate,
            seed=seed,
        )
        bar.update(6 * n)
        with torch.no_grad():
            fakes = generator(z, labels)
        d = probe(
            discriminator,
            (reals, labels),
            lambda logits: discriminator_loss(discriminator(fakes, labels), logits),
            learning_rate=model.learning_rate,
            seed=seed,
        )
        bar.update(7 * n)
        numbers = influence.measure_influence(model, reals, labels, seed, bar.update)
        parts = _anatomy(model, reals, labels, z, lengths)
        numbers["path_length"] = statistics.fmean(parts["path_lengths"])
        bar.update(6 * lengths)
    findings = [
        *signal_findings(g.rows, "G"),
        *signal_findings(d.rows, "D"),
        *(f for check in (*NETWORK_CHECKS, *LOSS_CHECKS) for f in check(model, g, numbers, parts)),
        *_evenness(model, g, d),
        *(rehearsal_findings(model, rehearsal) if rehearsal else []),
    ]
    return Examination(
        iteration=model.iteration,
        generator=g,
        discriminator=d,
        numbers=numbers,
        anatomy=parts,
        findings=findings,
    )


def _anatomy(model: StyleGAN2, reals: Tensor, labels: Tensor, z: Tensor, lengths: int) -> dict:
    generator, discriminator = model.generator, model.discriminator
    trained = model.iteration > 0
    ws = generator.mapping(z[:lengths], labels[:lengths]).detach().requires_grad_()
    y = torch.randn(lengths, generator.img_channels, generator.resolution, generator.resolution).to(reals)
    return {
        "block_gains_generator": anatomy.block_gains(generator, trained),
        "block_gains_discriminator": anatomy.block_gains(discriminator, trained),
        "filter_gains": anatomy.filter_gains(generator, discriminator),
        "style_response": anatomy.style_response(generator),
        "image_layers": anatomy.image_layers(generator, trained),
        "doubled_latent": anatomy.doubled_latent(generator),
        "low_precision": low_precision_errors(model, z[:2], reals[:2], labels[:2]),
        "minibatch_stddev": anatomy.minibatch_stddev_error(discriminator),
        "identical_images_finite": anatomy.identical_images_gradient(discriminator),
        "zero_length_finite": anatomy.zero_length_gradient(model.path_length),
        "path_lengths": influence.path_lengths(model, ws, y).flatten().tolist(),
        "path_lengths_independent": influence.independent_path_lengths(generator, ws, y).tolist(),
        "penalty_weights": penalty_weights(model),
        "optimizers": [
            {"lr": o.param_groups[0]["lr"], "betas": list(o.param_groups[0]["betas"])}
            for o in model.configure_optimizers()
        ],
    }


def _evenness(model: StyleGAN2, g: Probe, d: Probe) -> list[Finding]:
    """Adam's relative steps at initialisation; training changes them by changing the weights' size."""
    if model.iteration:
        return []
    found = []
    for letter, p in (("G", g), ("D", d)):
        body = [r for r in p.layers if r.step and not r.name.startswith("mapping.")]
        if not body:
            continue
        fast, slow = max(body, key=lambda r: r.step), min(body, key=lambda r: r.step)
        if fast.step > UNEVEN * slow.step:
            text = (
                f"one Adam step moves {letter}.{fast.name} by {fast.step:.2g} of its weights and "
                f"{slow.name} by {slow.step:.2g}, ×{fast.step / slow.step:.3g} apart, should be ×1 (limit "
                f"{UNEVEN:g}); likely cause: the factor 1/√fan_in is in the stored weights "
                "(scalings.weight_scaling)"
            )
            found.append(fault("uneven steps", text))
    layers = [r for r in g.layers if r.name.startswith("mapping.fc") and r.step]
    rest = [r.step for r in g.layers if r.step and not r.name.startswith("mapping.")]
    if layers and rest:
        ratio = sum(r.step for r in layers) / len(layers) / (sum(rest) / len(rest))
        if ratio > 0.3:
            text = (
                f"a mapping layer's relative Adam step is {ratio:.2g} of the other layers', should be "
                "0.01; likely cause: scalings.mapping_lr_multiplier"
            )
            found.append(fault("mapping network too fast", text))
    return found


def rehearsal_findings(model: StyleGAN2, seen: Rehearsal) -> list[Finding]:
    """What k iterations showed: divergence, penalties at the wrong iterations, an average that lags."""
    found = []
    if seen.diverged:
        found.append(fault("diverged", f"training stopped at {seen.diverged}"))
    start = model.iteration - seen.iterations
    for name, fired, every in (
        ("R1", seen.r1, model.r1.every),
        ("path length", seen.path_length, model.path_length.every),
    ):
        if not seen.diverged:
            found += interval_findings(name, fired, seen.iterations, every, start)
    if seen.ema_error is not None and seen.ema_error > 1e-3:
        text = (
            f"after {seen.iterations} iterations the average is {seen.ema_error:.2g} off one kept by its "
            "definition, should be 0; likely cause: not updated, or another half-life or ramp-up"
        )
        found.append(fault("EMA far", text))
    return found


def checkpoint_findings(contents: Mapping) -> list[Finding]:
    """What a checkpoint lacks of what going on from it needs."""
    state = contents.get("state_dict", {})
    missing = []
    if contents.get("stylegan2", {}).get("sampler") == "average" and not any(
        name.startswith("average.") for name in state
    ):
        missing.append("the running average")
    if "path_length_mean" not in state:
        missing.append("the path length's mean")
    states = contents.get("optimizer_states", [])
    if len(states) < 2 or not all(s.get("state") for s in states):
        missing.append("the optimisers' state")
    if not missing:
        return []
    text = f"the checkpoint lacks {' and '.join(missing)}: a resumed run would not go on as the first did"
    return [fault("checkpoint incomplete", text)]
