"""The networks' configurations: the plan of blocks, what cannot be built, the short form."""

import copy
import io
import pickle

import pytest
import torch

from stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig, Scalings
from stylegan2.augment import augmentations
from stylegan2.networks.normalization import normalizations
from stylegan2.training.losses import losses


def test_the_plan_has_channels_types_and_clamps_for_every_resolution():
    config = GeneratorConfig(
        resolution=32,
        channel_base=256,
        channel_max=32,
        low_precision_blocks=2,
        low_precision_dtype="bfloat16",
    )
    plan = {b.resolution: (b.channels, b.dtype, b.clamp) for b in config.blocks(Scalings())}
    low = (torch.bfloat16, 256.0)
    assert plan == {4: (32, None, None), 8: (32, None, None), 16: (16, *low), 32: (8, *low)}
    assert all(b.clamp == 3.0 for b in config.blocks(Scalings(clamp=3.0)))


def test_more_low_precision_blocks_than_there_are_means_all():
    blocks = GeneratorConfig(resolution=8, low_precision_blocks=99).blocks(Scalings())
    assert all(b.dtype == torch.float16 for b in blocks)


def test_a_resolution_with_options_is_short_for_a_configuration():
    config = GeneratorConfig(resolution=8, z_dim=4, w_dim=4, mapping_layers=1, channel_base=64)
    assert Generator(8, z_dim=4, w_dim=4, mapping_layers=1, channel_base=64).config == config
    with pytest.raises(TypeError, match="z_dim"):
        Generator(config, z_dim=8)


@pytest.mark.parametrize(
    "kind,options,words",
    [
        (GeneratorConfig, {"resolution": 12}, "power of two"),
        (DiscriminatorConfig, {"resolution": 4}, "from 8 up"),
        (GeneratorConfig, {"resolution": 8, "img_channels": 2}, "gray"),
        (GeneratorConfig, {"resolution": 64, "channel_base": 32}, "64 or more"),
        (GeneratorConfig, {"resolution": 8, "architecture": "skp"}, "Did you mean skip"),
        (GeneratorConfig, {"resolution": 8, "activation": "gelu"}, "lrelu"),
        (DiscriminatorConfig, {"resolution": 8, "minibatch_channels": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_built_is_refused(kind, options, words):
    with pytest.raises(ValueError, match=words):
        kind(**options)


def test_another_activation_reaches_every_layer_of_both_networks():
    small = {"channel_base": 64, "mapping_layers": 2, "activation": "swish"}
    g = Generator(8, z_dim=4, w_dim=4, **small)
    d = Discriminator(8, num_classes=2, **small)
    found = {m.activation for n in (g, d) for m in n.modules() if hasattr(m, "activation")}
    assert found == {"swish", "linear"}
    assert d(g(torch.randn(2, 4)), torch.eye(2)).isfinite().all()


def saved(networks):
    file = io.BytesIO()
    torch.save(networks, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("way", [lambda x: pickle.loads(pickle.dumps(x)), saved, copy.deepcopy])
@pytest.mark.parametrize(
    ("latents", "kind"),
    [("l2", "none"), ("none", "none"), *(("second_moment", kind) for kind in normalizations)],
)
def test_networks_can_be_pickled_saved_and_copied(way, latents, kind):
    scalings = Scalings(latent_normalization=latents)
    options = {"num_classes": 2, "mapping_layers": 1, "channel_base": 64}
    g = Generator(8, scalings, z_dim=4, w_dim=4, normalization=kind, **options).eval()
    kind = "none" if normalizations[kind].needs_styles else kind
    d = Discriminator(8, scalings, normalization=kind, **options).eval()
    g2, d2 = way((g, d))
    z, c = torch.randn(2, 4), torch.eye(2)
    images = g(z, c, noise="const")
    assert torch.equal(g2(z, c, noise="const"), images) and torch.equal(d2(images, c), d(images, c))
    assert g2.config == g.config and g2.scalings == g.scalings
    for a, b in zip(g.parameters(), g2.parameters()):
        assert a.stride() == b.stride()


def test_a_network_reaches_a_process_that_is_spawned():
    """Of which this process sees the image."""
    g = Generator(8, z_dim=4, w_dim=4, mapping_layers=1, channel_base=64).eval()
    z = torch.randn(2, 4)
    context = torch.multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=put_image, args=(results, g, z))
    process.start()
    image = results.get()
    process.join(60)
    torch.testing.assert_close(torch.from_numpy(image), g(z, noise="const"))


def put_image(results, g, z):
    with torch.no_grad():
        results.put(g(z, noise="const").numpy())


def test_a_model_with_its_losses_can_be_pickled():
    from stylegan2.training.config import TrainingConfig
    from stylegan2.training.module import StyleGAN2

    g = Generator(8, z_dim=4, w_dim=4, mapping_layers=1, channel_base=64)
    for augment, loss in [
        *((name, "logistic") for name in augmentations),
        *(("none", name) for name in losses),
    ]:
        config = TrainingConfig(augment=augment, loss=loss)
        model = StyleGAN2(g, Discriminator(8, channel_base=64), config)
        assert pickle.loads(pickle.dumps(model)).config == config
