"""The mapping network: what truncation goes towards, with labels and without."""

import pytest
import torch

from stylegan2.networks.generator import Generator
from stylegan2.networks.mapping import MappingNetwork
from stylegan2.networks.scalings import Scalings


@pytest.fixture
def mapping():
    """A network of three classes whose w_avg is the mean over all of them, as training leaves it."""
    mapping = MappingNetwork(8, 6, 4, num_classes=3, layers=2, scalings=Scalings()).eval()
    mapping.w_avg.copy_(mapping(torch.randn(3000, 8), torch.eye(3).repeat(1000, 1))[:, 0].detach().mean(0))
    return mapping


def test_the_mean_of_w_of_a_label_is_the_mean_over_latents(mapping):
    labels = torch.tensor([[0.0, 0.0, 1.0], [0.3, 0.7, 0.25], [0.0, 0.0, 1.0]])
    means = mapping.w_mean(labels, latents=4000)
    assert means.shape == (3, 6) and torch.equal(means[0], means[2]) and not means.requires_grad
    for mean, label in zip(means, labels):
        w = mapping(torch.randn(100_000, 8), label.expand(100_000, -1))[:, 0]
        deviations = (mean - w.mean(0)) / w.std(0) * 4000**0.5
        assert deviations.abs().max() < 4.5
    assert (means[0] - means[1]).abs().max() > 10 * w.std() / 4000**0.5  # labels have means of their own


def test_the_mean_of_a_label_does_not_depend_on_the_labels_beside_it(mapping):
    together = mapping.w_mean(torch.eye(3))
    alone = [mapping.w_mean(label[None])[0] for label in torch.eye(3)]
    assert torch.equal(together, torch.stack(alone))


def test_the_mean_leaves_the_running_mean_and_the_random_state_alone(mapping):
    before, state = mapping.w_avg.clone(), torch.get_rng_state()
    mapping.train().w_mean(torch.eye(3))
    assert torch.equal(before, mapping.w_avg) and torch.equal(state, torch.get_rng_state())


def test_truncation_goes_towards_the_given_mean_and_by_default_towards_w_avg(mapping):
    z, c = torch.randn(3, 8), torch.eye(3)
    ws, mean = mapping(z, c), mapping.w_mean(c)
    torch.testing.assert_close(mapping(z, c, psi=0.25), mapping.w_avg + 0.25 * (ws - mapping.w_avg))
    own = mapping(z, c, psi=0.25, w_mean=mean)
    torch.testing.assert_close(own, mean[:, None] + 0.25 * (ws - mean[:, None]))
    some = mapping(z, c, psi=0.25, cutoff=1, w_mean=mean)
    assert torch.equal(some[:, :1], own[:, :1]) and torch.equal(some[:, 1:], ws[:, 1:])
    assert torch.equal(mapping(z, c, psi=1, w_mean=mean), ws)


def test_one_mean_may_serve_all_samples_and_w_itself_is_truncated_too():
    mapping = MappingNetwork(8, 6, None, num_classes=3, layers=2, scalings=Scalings()).eval()
    z, c = torch.randn(4, 8), torch.eye(3)[[1, 1, 1, 1]]
    mean = mapping.w_mean(c)
    assert torch.equal(mapping(z, c, psi=0.5, w_mean=mean), mapping(z, c, psi=0.5, w_mean=mean[0]))


def test_fully_truncated_images_differ_between_classes_with_their_own_means_alone():
    g = Generator(8, z_dim=8, w_dim=8, num_classes=3, mapping_layers=2, channel_base=64).eval()
    z, c = torch.randn(3, 8), torch.eye(3)
    own = g(z, c, psi=0, noise="none", w_mean=g.mapping.w_mean(c))
    torch.testing.assert_close(own, g(-z, c, psi=0, noise="none", w_mean=g.mapping.w_mean(c)))
    assert (own[0] - own[1]).abs().max() > 1e-3
    common = g(z, c, psi=0, noise="none")
    torch.testing.assert_close(common[0], common[1])


def test_labels_of_another_width_have_no_mean(mapping):
    with pytest.raises(ValueError, match=r"c of shape \(N, 3\)"):
        mapping.w_mean(torch.zeros(2, 4))
