"""Networks within `torch.autocast`: convolutions in low precision, everything that needs digits in float32."""

import pytest
import torch
from pytorch_lightning.plugins import MixedPrecision
from training_cases import fit, make_model

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.errors import InputError
from stylegan2.kernels import off
from stylegan2.ops import activations, bias_act, setup_filter, upfirdn2d

SMALL = {"channel_base": 256, "channel_max": 16, "mapping_layers": 2}


def networks(**options):
    torch.manual_seed(0)
    g = Generator(16, z_dim=16, w_dim=16, num_classes=3, **SMALL, **options)
    return g, Discriminator(16, num_classes=3, **SMALL)


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16)


@pytest.fixture(params=["kernels", "definitions"], autouse=True)
def _ways(request):
    if request.param == "kernels":
        yield
    else:
        with off():
            yield


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_networks_train_within_autocast_and_compute_almost_the_same(architecture):
    z, c = torch.randn(4, 16), torch.eye(3)[[0, 1, 2, 0]]
    found = []
    for enabled in (False, True):
        g, d = networks(architecture=architecture)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            ws = g.mapping(z, c)
            images = g.synthesis(ws, noise="const")
            logits = d(images, c)
            loss = torch.nn.functional.softplus(-logits).mean()
        loss.backward()
        assert {t.dtype for t in (ws, images, logits, loss)} == {torch.float32}
        parameters = [*g.parameters(), *d.parameters()]
        assert all(p.grad is None or p.grad.dtype == p.dtype for p in parameters)
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        found.append((ws, g.mapping.w_avg, images, logits, flat))
    exact, low = found
    assert torch.equal(low[0], exact[0]) and torch.equal(low[1], exact[1]) and low[1].any()
    for a, b in zip(exact[2:], low[2:]):
        assert 0 < (a - b).norm() / a.norm() < 0.1


def test_convolutions_are_what_autocast_lowers():
    g, _ = networks()
    seen = {}
    for name, layer in g.synthesis.named_modules():
        layer.register_forward_hook(lambda _, __, y, name=name: seen.update({name: y}))
    with autocast():
        g(torch.randn(2, 16), torch.eye(3)[:2])
    assert seen["b16.conv1"].dtype == seen["b8.conv0"].dtype == torch.bfloat16
    assert seen["b16.conv1.affine"].dtype == torch.float32


def test_penalties_have_their_second_derivatives_within_autocast():
    g, d = networks()
    c = torch.eye(3)
    with autocast():
        real = torch.randn(3, 3, 16, 16, requires_grad=True)
        (gradient,) = torch.autograd.grad(d(real, c).sum(), real, create_graph=True)
        gradient.square().sum().backward()
        ws = g.mapping(torch.randn(3, 16), c)
        (jacobian,) = torch.autograd.grad(g.synthesis(ws).square().sum(), ws, create_graph=True)
        jacobian.square().sum().backward()
    assert gradient.dtype == jacobian.dtype == torch.float32
    for p in (d.b16.conv0.weight, g.synthesis.b8.conv1.weight, g.mapping.fc0.weight):
        assert p.grad.isfinite().all() and p.grad.any()


@pytest.mark.parametrize("name", ["group", "instance", "none", "spectral"])
def test_every_normalization_works_within_autocast(name):
    g = Generator(16, z_dim=16, w_dim=16, scalings=Scalings(style_normalization=name), **SMALL)
    d = Discriminator(16, normalization=name, **SMALL)
    with autocast():
        logits = d(g(torch.randn(4, 16)))
    logits.sum().backward()
    assert logits.dtype == torch.float32 and logits.isfinite().all()


def test_ops_keep_the_type_of_their_input_within_autocast():
    x, b, f = torch.randn(2, 3, 8, 8), torch.randn(3), setup_filter([1, 3, 3, 1])
    exact = upfirdn2d(x, f, up=2, padding=(2, 1, 2, 1))
    with autocast():
        assert torch.equal(upfirdn2d(x, f, up=2, padding=(2, 1, 2, 1)), exact)
        for act in activations:
            for dtype in (torch.float32, torch.bfloat16):
                assert bias_act(x.to(dtype), b, act).dtype == dtype, act


def mixed_float16():
    """What Lightning uses for 16-mixed on a GPU."""
    return MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))


@pytest.mark.parametrize("name", ["16-mixed", "16-true", "bf16-true"])
@pytest.mark.filterwarnings("ignore")
def test_a_precision_that_does_not_train_is_refused_before_training(name):
    model = make_model()
    precision = {"plugins": [mixed_float16()]} if name == "16-mixed" else {"precision": name}
    with pytest.raises(InputError, match=f"found {name}.*low_precision_blocks"):
        fit(model, 1, **precision)
    assert model.iteration == 0


@pytest.mark.filterwarnings("ignore")
def test_lightning_trains_in_float64():
    model = fit(make_model(), 2, precision="64-true")
    assert {p.dtype for p in model.parameters()} == {torch.float64}


def test_lightning_trains_in_bf16_mixed(tmp_path):
    import pytorch_lightning as pl

    from stylegan2.training.config import TrainingConfig
    from stylegan2.training.module import StyleGAN2

    g, d = networks()
    model = StyleGAN2(g, d, TrainingConfig(), batch=4)
    data = [(torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8), torch.eye(3)[[0, 1, 2, 0]])] * 2
    before = [p.clone() for p in model.parameters()]
    trainer = pl.Trainer(
        accelerator="cpu", precision="bf16-mixed", max_epochs=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=None))
    assert model.iteration == 2
    assert all(p.isfinite().all() and p.dtype == torch.float32 for p in model.parameters())
    assert sum(not torch.equal(a, b) for a, b in zip(before, model.parameters())) > len(before) / 2
