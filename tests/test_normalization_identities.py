"""Identities between normalizations that hold exactly, two processes, and conversion of other networks."""

import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn

from stylegan2.errors import InputError
from stylegan2.networks.layers import EqualizedConv2d, demodulation_coefficients
from stylegan2.networks.normalization import (
    ActNorm,
    AdaptiveInstanceNorm,
    BatchChannelNorm,
    BatchNorm,
    ConditionalInstanceNorm,
    DecorrelatedBatchNorm,
    GroupNorm,
    InPlaceABN,
    InstanceNorm,
    LayerNorm,
    MixtureNorm,
    ModeNorm,
    SparseSwitchableNorm,
    SwitchableNorm,
    SyncBatchNorm,
    WeightNorm,
    convert_normalization,
)
from stylegan2.networks.normalization.sparse_switchable import CIRCUMRADIUS, sparsestmax
from stylegan2.networks.scalings import Scalings

C = 6
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def features(seed=0):
    torch.manual_seed(seed)
    return 2 * torch.randn(4, C, 5, 3, dtype=torch.float64) + torch.randn(1, C, 1, 1).double()


def same(a, b, x=None, modes=(True, False)):
    """Whether two modules compute the same, in training and then in evaluation mode, from x and its gradient."""
    x = features() if x is None else x
    for training in modes:
        a, b = a.double().train(training), b.double().train(training)
        results = []
        for module in (a, b):
            leaf = x.clone().requires_grad_()
            y = module(leaf)
            (gradient,) = torch.autograd.grad(y.pow(3).sum(), leaf)
            results.append((y, gradient))
        torch.testing.assert_close(*results, **CLOSE)


def test_group_with_a_channel_per_group_is_instance_and_with_one_group_layer():
    same(GroupNorm(C, groups=C), InstanceNorm(C))
    same(GroupNorm(C, groups=1), LayerNorm(C))
    x = features()
    torch.testing.assert_close(LayerNorm(C).double()(x), F.layer_norm(x, x.shape[1:]), **CLOSE)


@pytest.mark.parametrize(("chosen", "kind"), enumerate([InstanceNorm, LayerNorm, BatchNorm]))
def test_switchable_at_a_vertex_is_instance_layer_or_batch(chosen, kind):
    switchable, sparse = SwitchableNorm(C), SparseSwitchableNorm(C)
    for norm in (switchable, sparse):
        for logits in (norm.mean_logits, norm.var_logits):
            logits.data = torch.full((3,), -100.0)
            logits.data[chosen] = 100
    same(switchable, kind(C))
    same(sparse, kind(C))


@pytest.mark.parametrize("images", [0, 300_000, 700_000, 2_000_000])
def test_sparsestmax_sums_to_one_and_is_one_hot_and_without_gradient_at_the_end(images):
    norm = SparseSwitchableNorm(C)
    norm.advance(images)
    for _ in range(50):
        z = torch.randn(3, dtype=torch.float64, requires_grad=True)
        p = sparsestmax(z, float(norm.radius))
        assert (p >= 0).all() and p.sum().item() == pytest.approx(1, abs=1e-6)
        assert (p - 1 / 3).norm().item() >= min(float(norm.radius), CIRCUMRADIUS) - 1e-6
        if images >= 1_000_000:
            assert p.max().item() == pytest.approx(1, abs=1e-6)
            (gradient,) = torch.autograd.grad(p[0], z)
            assert gradient.abs().max() < 1e-4


@pytest.mark.parametrize("kind", [MixtureNorm, ModeNorm])
def test_one_component_is_batch(kind):
    x = features()
    one, batch = kind(C, components=1).double(), BatchNorm(C).double()
    for _ in range(3):
        torch.testing.assert_close(one(x), batch(x), **CLOSE)
    same(one, batch)


def test_decorrelated_with_a_diagonal_covariance_is_batch():
    values = torch.tensor(list(__import__("itertools").product((-1.0, 1.0), repeat=C)), dtype=torch.float64)
    x = (values * torch.linspace(0.7, 2, C) + torch.arange(C)).reshape(16, 4, C, 1).transpose(1, 2)
    decorrelated = DecorrelatedBatchNorm(C, eps=1e-5, iterations=20).double()
    torch.testing.assert_close(decorrelated(x), BatchNorm(C).double()(x), **CLOSE)


def test_decorrelated_batch_leaves_no_correlation_and_the_derivative_is_finite_at_equal_eigenvalues():
    mixed = torch.einsum("nchw,dc->ndhw", features(), torch.randn(C, C).double())
    y = DecorrelatedBatchNorm(C, eps=1e-9, iterations=40).double()(mixed).transpose(0, 1).flatten(1)
    torch.testing.assert_close(torch.cov(y, correction=0), torch.eye(C).double(), rtol=0, atol=1e-5)
    x = torch.zeros(4, C, 2, 2).double().requires_grad_()
    (gradient,) = torch.autograd.grad(DecorrelatedBatchNorm(C).double()(x).pow(3).sum() + x.sum(), x)
    assert gradient.isfinite().all()


def test_conditional_instance_with_an_embedding_is_adaptive_instance_with_a_linear_map():
    conditional, adaptive = ConditionalInstanceNorm(C, 3).double(), AdaptiveInstanceNorm(C, 3).double()
    conditional.table.data += torch.randn(3, 2 * C)
    adaptive.linear.weight.data = conditional.table.data.t().clone()
    adaptive.linear.bias.data.zero_()
    mixed_labels = torch.rand(4, 3, dtype=torch.float64)
    torch.testing.assert_close(
        conditional(features(), mixed_labels), adaptive(features(), mixed_labels), **CLOSE
    )


def test_inplace_abn_is_batch_and_leaky_relu_in_value_and_gradient():
    same(InPlaceABN(C, slope=0.1), nn.Sequential(BatchNorm(C), nn.LeakyReLU(0.1)))


def test_inplace_abn_keeps_less_memory_for_the_backward_pass():
    def kept(module):
        saved, x = {}, torch.randn(4, C, 16, 16, requires_grad=True)

        def pack(tensor):
            saved[tensor.untyped_storage().data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            y = module(x * 1)
        return sum(saved.values()), y

    ours, _ = kept(InPlaceABN(C))
    plain, _ = kept(nn.Sequential(BatchNorm(C), nn.LeakyReLU(0.2)))
    assert ours < 0.6 * plain


def test_batch_channel_is_group_of_batch():
    same(BatchChannelNorm(C, groups=3), nn.Sequential(BatchNorm(C), GroupNorm(C, 3)))


def test_sync_batch_in_one_process_is_batch():
    same(SyncBatchNorm(C), BatchNorm(C))


def test_weight_norm_is_demodulation_at_styles_of_one_up_to_a_length_per_channel():
    weight = torch.randn(5, 4, 3, 3, dtype=torch.float64)
    norm = WeightNorm(weight).double()
    d = demodulation_coefficients(weight, torch.ones(1, 4).double())[0]
    demodulated = weight * d[:, None, None, None]
    torch.testing.assert_close(norm(weight) / norm.g[:, None, None, None], demodulated, **CLOSE)


def test_the_gradient_of_a_bias_before_batch_norm_is_0():
    bias = torch.randn(C, dtype=torch.float64, requires_grad=True)
    y = BatchNorm(C).double()(features() + bias[:, None, None])
    (gradient,) = torch.autograd.grad(y.pow(3).sum(), bias)
    assert gradient.abs().max() < 1e-9


def test_actnorm_starts_at_unit_variance_once_and_not_again_from_a_checkpoint():
    norm, x = ActNorm(C).double(), features()
    y = norm(x)
    torch.testing.assert_close(y.mean(dim=(0, 2, 3)), torch.zeros(C).double(), **CLOSE)
    torch.testing.assert_close(
        y.var(dim=(0, 2, 3), unbiased=False), torch.ones(C).double(), rtol=0, atol=1e-4
    )
    other = ActNorm(C).double()
    other.load_state_dict(norm.state_dict())
    torch.testing.assert_close(other(5 * x), norm.eval()(5 * x))


def test_a_gaussian_layer_of_fan_in_n_multiplies_the_deviation_by_the_root_of_n():
    torch.manual_seed(0)
    y = torch.randn(20_000, 10) @ torch.randn(10, 500)
    assert y.std().item() == pytest.approx(math.sqrt(10), rel=0.02)


def joint(rank, port, x, results):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    norm, act = SyncBatchNorm(C).double(), ActNorm(C).double()
    mine = x[2 * rank : 2 * rank + 2].clone().requires_grad_()
    y = norm(mine)
    (gradient,) = torch.autograd.grad(y.pow(3).sum(), mine, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), mine)
    results[rank] = [t.detach() for t in (y, gradient, second, norm.moments.running_var, act(mine))]
    dist.destroy_process_group()


@pytest.mark.slow
def test_sync_batch_and_actnorm_on_two_processes_are_those_of_the_joint_batch():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    x = features()
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(joint, (port, x, results), nprocs=2)
        ours = [torch.cat(parts) for parts in zip(results[0][:3], results[1][:3])]
        var, acts = results[0][3], torch.cat([results[0][4], results[1][4]])
    norm, leaf = BatchNorm(C).double(), x.clone().requires_grad_()
    y = norm(leaf)
    (gradient,) = torch.autograd.grad(y.pow(3).sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), leaf)
    for a, b in zip(ours, (y, gradient, second)):
        torch.testing.assert_close(a, b, **CLOSE)
    torch.testing.assert_close(var, norm.running_var, **CLOSE)
    torch.testing.assert_close(acts, ActNorm(C).double()(x), **CLOSE)


def test_conversion_replaces_every_batch_norm_and_keeps_scale_shift_and_mode():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, eps=1e-3), nn.Sequential(nn.BatchNorm2d(8))
    ).eval()
    network[1].weight.data.uniform_()
    kept = network[1].weight.data.clone()
    converted = convert_normalization(network, from_="batch", to="group", groups=4)
    assert converted is network and type(network[1]) is GroupNorm and type(network[2][0]) is GroupNorm
    assert network[1].num_groups == 4 and network[1].eps == 1e-3 and not network[1].training
    torch.testing.assert_close(network[1].weight.data, kept)
    back = convert_normalization(network, from_="group", to="sync_batch")
    assert type(back[1]) is SyncBatchNorm


def test_conversion_works_on_a_network_of_torchvision():
    torchvision = pytest.importorskip("torchvision")
    network = convert_normalization(
        torchvision.models.resnet18(num_classes=4), from_="batch", to="switchable"
    )
    assert not [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert network(torch.randn(2, 3, 32, 32)).isfinite().all()


def test_conversion_keeps_the_running_statistics_where_both_have_them():
    norm = nn.BatchNorm2d(C).double()
    norm(features())
    converted = convert_normalization(norm, from_="batch", to="sync_batch").eval()
    torch.testing.assert_close(converted(features()), norm.eval()(features()), **CLOSE)


@pytest.mark.parametrize("to", ["spectral", "adaptive_instance", "cosine"])
def test_conversion_refuses_what_does_not_stand_alone(to):
    with pytest.raises(InputError, match=to):
        convert_normalization(nn.BatchNorm2d(4), from_="batch", to=to)


def test_an_option_of_another_normalization_is_refused():
    with pytest.raises(InputError, match="groups"):
        convert_normalization(nn.BatchNorm2d(4), from_="batch", to="instance", groups=2)


def test_a_layer_has_the_normalization_of_features_after_its_convolution_and_before_its_bias():
    torch.manual_seed(0)
    plain = EqualizedConv2d(3, C, 3, scalings=Scalings(), bias=False)
    torch.manual_seed(0)
    batch = EqualizedConv2d(3, C, 3, scalings=Scalings(), normalization="batch", activation="lrelu")
    batch.bias.data.uniform_()
    x = torch.randn(4, 3, 8, 8)
    expected = math.sqrt(2) * F.leaky_relu(BatchNorm(C)(plain(x)) + batch.bias[:, None, None], 0.2)
    torch.testing.assert_close(batch(x), expected, rtol=1e-5, atol=1e-5)
