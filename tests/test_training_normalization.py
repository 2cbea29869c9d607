"""Training with normalizations: options, exact resume of their state, and combinations that are refused or told."""

import pytest
import torch
from training_cases import TINY, Saver, fit, tiny_config

from stylegan2 import Discriminator, Generator
from stylegan2.cli import train_parser
from stylegan2.data import ImageData
from stylegan2.errors import InputError
from stylegan2.formats import load
from stylegan2.networks.config import DiscriminatorConfig, GeneratorConfig
from stylegan2.training.config import TrainingConfig
from stylegan2.training.module import StyleGAN2
from stylegan2.training.normalization import fill_reference
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1


def model(g=None, d="none", r1=1, path_length=1, **options):
    torch.manual_seed(0)
    shared = {"num_classes": 9, "mapping_layers": 2} | TINY
    return StyleGAN2(
        Generator(8, z_dim=8, w_dim=8, normalization=g, **shared, **options),
        Discriminator(8, normalization=d, **shared, **options),
        TrainingConfig(regularizers=(R1(gamma=1, every=r1), PathLength(every=path_length))),
        batch=8,
    )


PAIRS = [
    ("batch", "virtual_batch"),
    ("mixture", "activation"),
    ("sparse_switchable", "online"),
    ("adaptive_instance", "conditional_batch"),
    ("decorrelated_batch", "stable_rank"),
]


@pytest.mark.parametrize(("g", "d"), PAIRS)
def test_a_resumed_run_equals_an_uninterrupted_one_in_every_tensor(g, d, tmp_path):
    whole = fit(model(g, d), 3, Saver(tmp_path / "whole.ckpt"))
    fit(model(g, d), 1, Saver(tmp_path / "half.ckpt"))
    resumed = fit(model(g, d), 3, resume=tmp_path / "half.ckpt")
    theirs = resumed.state_dict()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    assert load(tmp_path / "whole.ckpt").generator.config.normalization == g


def test_the_state_is_in_the_generator_ema_too():
    trained = fit(model("batch", "none"), 2)
    norm, average = (
        n.synthesis.b8.conv0.normalization.norm for n in (trained.generator, trained.generator_ema)
    )
    assert norm.running_mean.any() and torch.equal(norm.running_mean, average.running_mean)


def test_the_radius_of_sparse_switchable_follows_the_images():
    trained = fit(model("sparse_switchable"), 2)
    radius = trained.generator.synthesis.b8.conv0.normalization.norm.radius
    assert radius.item() == pytest.approx((2 / 3) ** 0.5 * 16 / 1_000_000)


def test_online_normalization_with_path_length_is_refused_with_alternatives():
    with pytest.raises(InputError, match=r"online.*path_length.*every to 0.*layer"):
        model("online")
    model("online", path_length=0)
    model(d="online")


def test_a_normalization_that_couples_samples_says_what_it_does_to_r1_and_others_say_nothing():
    (note,) = model(d="batch").notes
    assert "batch" in note and "r1" in note and "other samples" in note
    assert model(d="group").notes == model(d="batch", r1=0).notes == []


def test_the_reference_of_virtual_batch_norm_is_of_the_data_by_seed():
    dataset = ImageData(resolution=8, classes="folders").open(progress=False)
    references = []
    for seed in (0, 0, 1):
        made = model(d="virtual_batch").discriminator
        fill_reference(made, dataset, seed)
        references.append(made.reference.inputs.clone())
    assert torch.equal(references[0], references[1]) and not torch.equal(references[0], references[2])
    assert references[0].min() >= -1 and references[0].std() > 0.1


def test_samples_stay_apart_under_virtual_batch_norm_in_the_whole_discriminator():
    d = Discriminator(8, normalization="virtual_batch", minibatch_group=1, **TINY)
    x = torch.randn(4, 3, 8, 8)
    before = d(x)
    x[1:] += 1
    torch.testing.assert_close(d(x)[0], before[0])


def test_options_are_written_below_the_normalization(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(tiny_config(), encoding="utf-8")
    place = "--model.discriminator.normalization"
    args = [
        "--config",
        str(file),
        place,
        "group",
        f"{place}.groups",
        "2",
        "--model.generator.normalization",
        "batch",
    ]
    parser = train_parser()
    options = parser.instantiate(parser.parse_args(args))
    assert options.model.discriminator.normalization_options.groups == 2
    assert options.model.generator.normalization == "batch"
    d = Discriminator(
        DiscriminatorConfig(resolution=8, normalization="group", normalization_options={"groups": 2})
    )
    assert d.b8.conv0.normalization.norm.num_groups == 2


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: DiscriminatorConfig(resolution=8, normalization="instance", normalization_options={"groups": 2}),
         "it has none|eps"),
        (lambda: DiscriminatorConfig(resolution=8, normalization="conditional_batch"), "labels"),
        (lambda: DiscriminatorConfig(resolution=8, weight_normalization="batch"), "spectral"),
        (lambda: GeneratorConfig(resolution=8, normalization="weight", weight_normalization="spectral"), "most one"),
        (lambda: GeneratorConfig(resolution=8, normalization_options={"eps": -1}), "eps"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_the_networks_are_built(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_the_reference_of_a_generator_is_that_of_fixed_latents_for_any_batch():
    torch.manual_seed(0)
    g = Generator(8, z_dim=8, w_dim=8, normalization="virtual_batch", num_classes=3, **TINY)
    before = g.synthesis.reference.inputs.clone()
    g(torch.randn(4, 8), torch.eye(3)[[0, 1, 2, 0]])
    assert g.synthesis.reference.filled and torch.equal(g.synthesis.reference.inputs, before)
    assert before.std() > 0
