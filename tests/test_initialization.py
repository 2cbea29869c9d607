"""Initial values: of the stated distribution, and of each tensor's own stream, by its name and the seed."""

import pytest
import torch

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.networks.initialization import draw, drawn_by_name

SMALL = {"channel_base": 512, "channel_max": 32, "mapping_layers": 2}


def state(kind, resolution=16, seed=3, **options):
    """The tensors of a network built from this seed."""
    torch.manual_seed(seed)
    options = SMALL | ({"z_dim": 32, "w_dim": 32} if kind is Generator else {}) | options
    return kind(resolution, **options).state_dict()


def same(a, b):
    """The names of equal tensors, and of those that both have but with other values."""
    shared = a.keys() & b.keys()
    equal = {name for name in shared if torch.equal(a[name], b[name])}
    return equal, shared - equal


@pytest.mark.parametrize(
    "kind,change,shifted",
    [
        (Generator, {"scalings": Scalings(noise=False)}, set()),
        (Generator, {"resolution": 32}, set()),
        (Generator, {"architecture": "resnet"}, set()),
        (Generator, {"num_classes": 5}, {"mapping.fc0.weight"}),  # it takes more features
        (Generator, {"mapping_layers": 3}, set()),
        (Generator, {"scalings": Scalings(style_normalization="spectral")}, set()),
        (Discriminator, {"scalings": Scalings(minibatch_stddev=False)}, {"b4.conv.weight"}),
        (Discriminator, {"resolution": 32}, set()),
        (Discriminator, {"architecture": "orig"}, set()),
        (Discriminator, {"normalization": "spectral"}, set()),
    ],
)
def test_what_one_layer_draws_does_not_depend_on_the_others(kind, change, shifted):
    equal, other = same(state(kind), state(kind, **change))
    assert other == shifted and len(equal) > 10


def test_other_channels_in_one_place_leave_all_other_layers_alone():
    a, b = state(Generator), state(Generator, channel_base=1024, channel_max=32)  # twice as many at 32² only
    assert same(a, b)[1] == set()
    wider = same(state(Generator), state(Generator, channel_max=64))[1]
    assert not any(name.startswith(("mapping", "synthesis.b16.conv1.noise")) for name in wider)


def test_one_network_does_not_shift_what_is_drawn_after_it():
    found = []
    for options in ({}, {"architecture": "resnet", "scalings": Scalings(noise=False)}):
        torch.manual_seed(0)
        Generator(16, z_dim=8, w_dim=8, **SMALL, **options)
        found.append((Discriminator(8, **SMALL).b4.out.weight, torch.randn(4)))
    for a, b in zip(*found):
        assert torch.equal(a, b)


def test_the_seed_decides_and_two_networks_of_one_seed_differ():
    first, again, other = state(Generator), state(Generator), state(Generator, seed=4)
    assert same(first, again)[1] == set()
    torch.manual_seed(3)
    following = [Generator(16, z_dim=32, w_dim=32, **SMALL).state_dict() for _ in range(2)][1]
    constant = {name for name, value in first.items() if value.numel() == 1 or value.std() == 0}
    assert same(first, other)[0] == constant == same(first, following)[0]


def test_scalings_of_the_weights_are_paired_too():
    a, b = state(Generator), state(Generator, scalings=Scalings(weight_scaling="kaiming"))
    name = "synthesis.b8.conv1.weight"
    torch.testing.assert_close(b[name] * (9 * 32) ** 0.5, a[name])


def test_tensors_have_the_stated_mean_and_deviation_and_no_two_are_alike():
    g = Generator(16, z_dim=256, w_dim=256, num_classes=3, channel_base=4096, channel_max=256)
    d = Discriminator(16, channel_base=4096, channel_max=256)
    large = {n: t for net in (g, d) for n, t in net.state_dict().items() if t.numel() > 2000}
    assert len(large) > 25
    firsts = set()
    for name, tensor in large.items():
        std = 100.0 if "mapping.fc" in name else 1.0
        assert tensor.std().item() == pytest.approx(std, rel=6 / (2 * tensor.numel()) ** 0.5), name
        assert abs(tensor.mean().item()) < 6 * std / tensor.numel() ** 0.5, name
        firsts.add(tensor.flatten()[0].item() / std)
    assert len(firsts) == len(large)
    flat = torch.stack([t.flatten()[:2000] for t in large.values()])
    correlation = torch.corrcoef(flat) - torch.eye(len(large))
    assert correlation.abs().max() < 6 / 2000**0.5
    assert torch.equal(g.synthesis.b8.conv0.affine.bias, torch.ones(256))
    assert g.synthesis.b8.conv0.noise_strength == 0 and not g.synthesis.b8.conv0.bias.any()


def test_spectral_normalization_starts_from_the_weights_that_the_layer_has():
    d = Discriminator(16, normalization="spectral", **SMALL).eval()
    layer = d.b16.conv1
    weight = layer.weight.detach() * layer.weight_gain
    sigma = torch.linalg.svdvals(weight.flatten(1))[0]
    torch.testing.assert_close(layer.normalization.weight(weight), weight / sigma, rtol=0.05, atol=1e-3)


def test_a_layer_of_ones_own_takes_part():
    class Mine(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.empty(50))
            draw(self, weight=2.0)

    class Network(torch.nn.Module):
        def __init__(self, extra):
            super().__init__()
            with drawn_by_name(self):
                torch.randn(7)
                if extra:
                    self.before = Mine()
                self.mine = Mine()

    torch.manual_seed(0)
    a = Network(False)
    torch.manual_seed(0)
    b = Network(True)
    assert torch.equal(a.mine.weight, b.mine.weight) and not torch.equal(b.mine.weight, b.before.weight)
    assert 1.2 < a.mine.weight.std() < 3
    torch.manual_seed(0)
    alone = Mine()
    torch.manual_seed(0)
    assert torch.equal(alone.weight, torch.randn(50) * 2)


def test_values_are_the_same_on_every_device_and_none_are_needed_on_meta():
    with torch.device("meta"):
        g = Generator(16, z_dim=32, w_dim=32, **SMALL)
    assert g.synthesis.b16.conv1.weight.is_meta
