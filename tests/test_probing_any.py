"""`stylegan2.probe` on anybody's module: no exception, no false alarm, and the faults that it must see."""

import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import stylegan2
from stylegan2.errors import InputError


def names(found):
    return {f.name for f in found.findings}


def faults(found):
    return {f.name for f in found.findings if f.fault}


@dataclass
class Batch:
    x: Tensor
    label: str = "cat"


class Wrapped(nn.Module):
    """One layer whose input is unpacked and whose output is packed by functions."""

    def __init__(self, unpack=lambda x: x, pack=lambda y: y):
        super().__init__()
        self.fc, self.unpack, self.pack = nn.Linear(4, 3), unpack, pack

    def forward(self, x):
        return self.pack(self.fc(self.unpack(x)))


X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


# No exceptions


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (Wrapped(lambda x: x[0] + x[1]), [X, X]),
        (Wrapped(pack=lambda y: [y, [y]]), X),
        (Wrapped(lambda b: b.x, pack=lambda y: Batch(y)), Batch(X)),
        (Wrapped(lambda d: d["image"]), {"image": X}),
        (Wrapped(lambda d: d[3]), {3: X}),
        (Wrapped(pack=lambda y: {"scores": y, "classes": y.argmax(1)}), X),
        (Wrapped(pack=lambda y: torch.distributions.Normal(y, 1.0)), X),
    ],
    ids=["list in", "list out", "dataclass", "dict", "dict of numbers", "dict out", "object out"],
)
def test_inputs_and_outputs_of_any_structure_are_measured(network, inputs):
    found = stylegan2.probe(network, inputs)
    assert found["fc"].gradient == pytest.approx(1, abs=1) and found["fc"].step > 0
    assert not found.findings


def test_a_mapping_of_the_names_of_arguments_gives_keyword_arguments():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x, *, scale=1.0):
            return self.fc(x) * scale

    assert stylegan2.probe(Two(), {"x": X, "scale": 3.0})["fc"].gradient == pytest.approx(3, rel=0.3)


def test_packed_sequences_enter_and_leave():
    packed = pack_padded_sequence(torch.randn(3, 5, 4), torch.tensor([5, 3, 2]), batch_first=True)
    found = stylegan2.probe(nn.LSTM(4, 8, batch_first=True), packed)
    assert found[""].shape == (10, 8) and found[""].input_rms == pytest.approx(1, abs=0.4)
    assert not found.findings


def test_sparse_gradients_give_the_steps_of_dense_ones():
    torch.manual_seed(0)
    index = torch.arange(12).reshape(3, 4)
    steps = []
    for sparse in (False, True):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Embedding(20, 4, sparse=sparse), nn.Linear(4, 2))
        steps.append(stylegan2.probe(network, index)["0"].step)
    assert steps[0] == pytest.approx(steps[1]) and steps[0] > 0


def test_networks_without_parameters_gradients_or_floating_outputs_are_measured():
    assert stylegan2.probe(nn.Sequential(nn.ReLU(), nn.AvgPool1d(2)), X).layers[0].rms < 1
    found = stylegan2.probe(Wrapped(pack=lambda y: y.argmax(1)), X)
    assert found["fc"].rms > 0 and found["fc"].step == 0
    assert found.loss is None and names(found) == {"no gradient measured"}

    class NoGrad(Wrapped):
        @torch.no_grad()
        def forward(self, x):
            return self.fc(x)

    assert names(stylegan2.probe(NoGrad(), X)) == {"no gradient measured"}


def test_an_attribute_clamp_that_is_no_number_is_no_bound():
    for value in (lambda x: x, True, (0, 1), torch.tensor([1.0]), None, 0.0):
        network = Wrapped()
        network.fc.clamp = value
        assert stylegan2.probe(network, X)["fc"].clamped is None
    network.fc.weight_gain = lambda: 3  # a method of theirs
    assert stylegan2.probe(network, X)["fc"].weight > 0


def test_lazy_modules_are_probed_without_being_initialized():
    network = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyBatchNorm1d(), nn.LazyLinear(2))
    found = stylegan2.probe(network, X)
    assert found["3"].shape == (8, 2) and not found.findings
    assert isinstance(network[0], nn.LazyLinear)


def test_scripted_modules_are_measured_from_outside():
    inner = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
    found = stylegan2.probe(inner, X)
    assert found.layers[0].rms > 0 and names(found) == {"scripted modules"}
    found = stylegan2.probe(nn.Sequential(inner, nn.Linear(4, 2)), X)
    assert found["0"].gradient > 0 and not faults(found)
    assert inner.state_dict()["1.num_batches_tracked"] == 0


def test_bad_input_is_refused_with_a_message():
    with pytest.raises(InputError, match="torch.nn.Module"):
        stylegan2.probe(lambda x: x, X)
    with pytest.raises(InputError, match=r"scalar tensor, found shape \(8, 3\)"):
        stylegan2.probe(Wrapped(), X, loss=lambda out: out)


def test_a_buffer_that_the_network_replaces_is_put_back():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("n", torch.zeros(1))

        def forward(self, x):
            self.n = self.n + 1
            return x * self.n

    network = Counter()
    before = network.n
    stylegan2.probe(network, X)
    assert network.n is before and before == 0


# No silence


def test_a_root_with_parameters_and_children_has_a_row():
    found = stylegan2.probe(nn.MultiheadAttention(8, 2, batch_first=True), (torch.randn(2, 5, 8),) * 3)
    assert [row.kind for row in found.layers] == ["MultiheadAttention"]
    assert found.layers[0].step > 0 and not found.findings and "(itself)" in str(found)


def test_a_layer_that_is_never_called_is_named():
    network = nn.Sequential(nn.Linear(4, 4))
    network[0].spare = nn.Linear(4, 4)
    assert "0.spare" in str(stylegan2.probe(network, X)) and faults(stylegan2.probe(network, X)) == {
        "never called"
    }
    network.eval()
    assert not faults(stylegan2.probe(network, X)) and names(stylegan2.probe(network, X)) == {"never called"}


def orthogonal(gain, layers, norm=False):
    parts = []
    for _ in range(layers):
        layer = nn.Linear(64, 64, bias=False)
        nn.init.orthogonal_(layer.weight, gain)
        parts += [layer, nn.BatchNorm1d(64), nn.ReLU()] if norm else [layer]
    return nn.Sequential(*parts)


def test_fourteen_layers_of_a_factor_of_a_half_root_are_found_and_ten_are_not():
    x = torch.randn(64, 64)
    found = stylegan2.probe(orthogonal(0.707, 14), x)
    assert faults(found) == {"vanishing depth"} and "0.707 on average" in str(found)
    assert not stylegan2.probe(orthogonal(0.707, 10), x).findings


def test_a_gradient_that_grows_behind_normalized_signals_is_found():
    """Batch norm hides the growth: the signal stays at 1, and the gradient grows by about 1.2 per layer."""
    torch.manual_seed(0)
    found = stylegan2.probe(orthogonal(1.0, 50, norm=True), torch.randn(64, 64))
    assert faults(found) == {"exploding gradient"} and "from 63.6 at the output" in str(found)
    torch.manual_seed(0)
    assert not stylegan2.probe(orthogonal(1.0, 12, norm=True), torch.randn(64, 64)).findings


def test_the_input_is_part_of_the_signal():
    network = Wrapped(lambda x: x * 1e-6)
    nn.init.zeros_(network.fc.bias)
    assert faults(stylegan2.probe(network, X)) == {"vanishing depth"}
    assert "the input" in str(stylegan2.probe(network, X).findings[0])
    assert not stylegan2.probe(
        Wrapped(lambda x: x / 255), X * 100
    ).findings  # pixels that are brought to unit size
    assert not stylegan2.probe(Wrapped(lambda x: x * 1e4), X / 1e4).findings


# No absurd figures


def test_biases_are_not_weights_whatever_their_shape():
    class ToImage(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.register_parameter(name, nn.Parameter(torch.zeros(1, 3, 1, 1)))

        def forward(self, x):
            return x + next(self.parameters())

    x = torch.randn(2, 3, 4, 4)
    for name in ("bias", "shift"):
        row = stylegan2.probe(ToImage(name), x)[""]
        assert row.step is None and (row.weight or 0) == 0

    class WithKernel(ToImage):
        def __init__(self):
            super().__init__("b")
            self.kernel = nn.Parameter(torch.ones(3, 3, 1, 1))

        def forward(self, x):
            return F.conv2d(x, self.kernel) + self.b

    row = stylegan2.probe(WithKernel(), x)[""]
    assert row.weight == 1 and row.step == pytest.approx(0.002, rel=1e-3)


def test_frozen_filters_have_no_step_and_are_not_dead():
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 1))
    network[0].weight.requires_grad_(False)
    found = stylegan2.probe(network, torch.randn(2, 3, 8, 8))
    assert found["0"].step is None and found["0"].weight > 0 and found["1"].step > 0
    network.requires_grad_(False)  # the whole network is in use, not in training
    assert stylegan2.probe(network, torch.randn(2, 3, 8, 8))["0"].step > 0


# No false alarms


class Branch(nn.Module):
    def __init__(self, width, scale=None):
        super().__init__()
        self.norm, self.a, self.b = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        if scale is None:
            nn.init.zeros_(self.b.weight)
            nn.init.zeros_(self.b.bias)
        self.scale = nn.Parameter(torch.full((width,), scale)) if scale else 1.0

    def forward(self, x):
        return x + self.scale * self.b(F.gelu(self.a(self.norm(x))))


def test_zero_initialized_branches_and_layer_scale_are_no_faults():
    found = stylegan2.probe(nn.Sequential(*[Branch(16) for _ in range(4)]), torch.randn(8, 16))
    assert not faults(found) and names(found) == {"zero-initialized"}
    assert "0.a" in found.facts.blocked and "0.b.weight" in found.facts.zero_initialized
    assert not stylegan2.probe(
        nn.Sequential(*[Branch(16, 1e-6) for _ in range(4)]), torch.randn(8, 16)
    ).findings


def test_a_constant_factor_of_zero_is_no_zero_initialization():
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            nn.init.zeros_(self.b.weight)

        def forward(self, x):
            return self.a(x) * 0 + self.b(x)

    found = stylegan2.probe(Dead(), X)
    assert faults(found) == {"no gradient"} and "a:" in str(found.findings[0])


def test_batch_norm_that_has_seen_no_data_is_measured_with_the_batch():
    layers = []
    for _ in range(8):
        layers += [nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU()]
        nn.init.normal_(layers[-3].weight, std=2.0)
    network = nn.Sequential(*layers).eval()
    found = stylegan2.probe(network, torch.randn(32, 32))
    assert not faults(found) and names(found) == {"batch norm without statistics"}
    assert not any(m.training for m in network.modules()) and network[1].num_batches_tracked == 0


def image(size, n=2):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


NETWORKS = {
    "resnet18": 64,
    "mobilenet_v3_small": 64,
    "squeezenet1_1": 64,
    "shufflenet_v2_x0_5": 64,
    "alexnet": 96,
    "vgg11": 64,
    "vgg11_bn": 64,
    "densenet121": 64,
    "mobilenet_v2": 64,
    "efficientnet_b0": 64,
    "convnext_tiny": 64,
    "vit_b_32": 224,
    "swin_t": 64,
    "googlenet": 96,
    "inception_v3": 128,
    "mnasnet0_5": 64,
    "regnet_y_400mf": 64,
    "maxvit_t": 224,
    "resnet50": 64,
    "resnext50_32x4d": 64,
    "wide_resnet50_2": 64,
    "swin_v2_t": 64,
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in list(NETWORKS)[4:]]


@pytest.mark.parametrize("name", [*list(NETWORKS)[:4], *SLOW])
def test_networks_of_torchvision_have_no_fault(name):
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    kwargs = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    kwargs |= {"aux_logits": False} if name == "inception_v3" else {}
    network = models.get_model(name, weights=None, **kwargs)
    for mode in (True, False):
        found = stylegan2.probe(network.train(mode), image(NETWORKS[name]))
        assert not faults(found), f"{mode} {[str(f) for f in found.findings if f.fault]}"


DETECTORS = [
    "ssdlite320_mobilenet_v3_large",
    "retinanet_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DETECTORS, "fcos_resnet50_fpn", "ssd300_vgg16", "maskrcnn_resnet50_fpn"])
def test_detectors_of_torchvision_have_no_fault(name):
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    network = models.get_model(name, weights=None, weights_backbone=None)
    images = [torch.rand(3, 96, 96), torch.rand(3, 96, 96)]
    boxes = torch.tensor([[8.0, 8, 60, 60]])
    masks = torch.ones(1, 96, 96, dtype=torch.uint8)
    targets = [{"boxes": boxes, "labels": torch.tensor([1]), "masks": masks}] * 2
    found = stylegan2.probe(network, (images, targets))
    assert not faults(found), [str(f) for f in found.findings if f.fault]
    found = stylegan2.probe(network.eval(), images)
    assert not faults(found), [str(f) for f in found.findings if f.fault]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]
)
def test_segmentation_networks_of_torchvision_have_no_fault(name):
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    network = models.get_model(name, weights=None, weights_backbone=None)
    for mode in (True, False):
        found = stylegan2.probe(network.train(mode), image(96))
        assert not faults(found), [str(f) for f in found.findings if f.fault]
    stylegan2.probe(network.eval(), image(96, n=1))  # pooled to one pixel, a batch of one has no statistics


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_networks_have_no_fault(kind):
    assert not stylegan2.probe(kind(16, 32, num_layers=3, dropout=0.1), torch.randn(50, 4, 16)).findings


class UNetBlock(nn.Module):
    """A residual block of a diffusion U-Net (Ho et al. 2020): the last convolution is zero at the start."""

    def __init__(self, a, b, time):
        super().__init__()
        self.n0, self.c0, self.t = nn.GroupNorm(8, a), nn.Conv2d(a, b, 3, padding=1), nn.Linear(time, b)
        self.n1, self.c1 = nn.GroupNorm(8, b), nn.Conv2d(b, b, 3, padding=1)
        self.skip = nn.Conv2d(a, b, 1) if a != b else nn.Identity()
        nn.init.zeros_(self.c1.weight)

    def forward(self, x, t):
        y = self.c0(F.silu(self.n0(x))) + self.t(t)[:, :, None, None]
        return self.skip(x) + self.c1(F.silu(self.n1(y)))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64))
        self.enter = nn.Conv2d(3, 16, 3, padding=1)
        self.down, self.middle = UNetBlock(16, 32, 64), UNetBlock(32, 32, 64)
        self.up, self.norm = UNetBlock(48, 16, 64), nn.GroupNorm(8, 16)
        self.leave = nn.Conv2d(16, 3, 3, padding=1)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x, t):
        waves = t[:, None] * torch.exp(-math.log(1e4) * torch.arange(16) / 16)
        t = self.time(torch.cat([waves.sin(), waves.cos()], 1))
        x = self.enter(x)
        y = self.middle(self.down(F.avg_pool2d(x, 2), t), t)
        y = self.up(torch.cat([x, F.interpolate(y, scale_factor=2.0)], 1), t)
        return self.leave(F.silu(self.norm(y)))


def test_a_diffusion_u_net_with_zero_initialized_outputs_has_no_fault():
    found = stylegan2.probe(UNet(), (torch.randn(4, 3, 16, 16), torch.rand(4) * 1000))
    assert not faults(found) and names(found) == {"zero-initialized"}
