"""Residual blocks: terms that sum to the output, correlations, and the gain that keeps the variance."""

import math

import pytest
import torch

from stylegan2 import Discriminator, Scalings
from stylegan2.probing.measure.residual import ResidualBlock, residual_blocks

SMALL = {"channel_base": 512, "channel_max": 32}


def measured(**scalings):
    torch.manual_seed(0)
    d = Discriminator(32, Scalings(**scalings), **SMALL).double()
    images = torch.randn(4, 3, 32, 32).double()
    return d, images, residual_blocks(d, images)


def test_shares_are_those_of_an_output_without_the_blocks_term():
    """A block's term is what the output loses with its branch: the later branches get their old inputs by hooks."""
    d, images, found = measured()
    kept, handles = {}, []
    for r in d.resolutions:
        layer = d.get_submodule(f"b{r}.conv1")
        handles.append(layer.register_forward_hook(lambda m, args, out, r=r: kept.setdefault(r, out)))

    def features():
        x = None
        for r in d.resolutions:
            x, _ = getattr(d, f"b{r}")(x, images if x is None else None)
        return x

    with torch.no_grad():
        y = features()
        for handle in handles:
            handle.remove()
        for r in d.resolutions:
            d.get_submodule(f"b{r}.conv1").register_forward_hook(lambda m, args, out, r=r: kept[r])
        for block, r in zip(found, d.resolutions):
            whole, kept[r] = kept[r], torch.zeros_like(kept[r])
            term, kept[r] = y - features(), whole
            assert block.share == pytest.approx(((term * y).sum() / y.square().sum()).item(), rel=1e-9)


def test_the_sum_of_the_branches_has_the_size_that_their_correlation_predicts():
    d, _, found = measured()
    assert [b.name for b in found] == ["b32", "b16", "b8"]
    for b in found:
        variance = b.skip**2 + b.branch**2 + 2 * b.correlation * b.skip * b.branch
        assert b.output == pytest.approx(math.sqrt(variance), rel=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_branches_of_equal_size_keep_their_variance_with_one_over_the_root_of_two_plus_two_rho(rho):
    output = math.sqrt(2 * (1 + rho))
    block = ResidualBlock(name="", skip=1, branch=1, correlation=rho, output=output, share=0)
    assert block.keeping == pytest.approx(1 / math.sqrt(2 * (1 + rho)), rel=1e-14)


def test_a_branch_that_starts_at_zero_has_no_share():
    for kind in ("fixup", "skip_init"):
        _, _, found = measured(residual_gain=kind)
        assert all((b.branch, b.share, b.correlation, b.keeping) == (0, 0, None, None) for b in found)


def test_the_balance_moves_the_share_of_the_last_block():
    shares = []
    for t in (0.3, 0.5):
        last = measured(residual_balance=t)[2][-1]
        # No skip branch follows, so its term in ⟨t, y⟩ is b² + ρsb.
        term = last.branch**2 + last.correlation * last.skip * last.branch
        assert last.share == pytest.approx(term / last.output**2, rel=1e-9)
        shares.append(last.share)
    assert shares[0] < 0.6 * shares[1]


def test_other_architectures_have_no_residual_blocks():
    assert residual_blocks(Discriminator(16, architecture="skip", **SMALL), torch.randn(2, 3, 16, 16)) == []


def test_labels_reach_a_conditional_normalization():
    d = Discriminator(16, normalization="conditional_batch", num_classes=3, **SMALL)
    assert len(residual_blocks(d, torch.randn(4, 3, 16, 16), torch.eye(3)[[0, 1, 2, 0]])) == 2
