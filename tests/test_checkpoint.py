"""What resuming takes from a checkpoint and what from the configuration, and what never becomes a checkpoint."""

import shutil

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from training_cases import Saver, assert_same_state, fit, make_model

from stylegan2.augment.options import ADAOptions
from stylegan2.data import ImageData
from stylegan2.errors import InputError
from stylegan2.training.checkpoint import not_finite, read_matching, read_resumable
from stylegan2.training.data import TrainingData
from stylegan2.training.divergence import Diverged
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1

pytestmark = pytest.mark.filterwarnings("ignore")
CLASSES = [f"class {i}" for i in range(9)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint after two iterations."""
    path = tmp_path_factory.mktemp("saved") / "last.ckpt"
    model = make_model()
    model.class_names = CLASSES
    fit(model, 2, Saver(path))
    return path


def altered(path, folder, change):
    contents = torch.load(path, weights_only=True)
    change(contents)
    torch.save(contents, folder / "altered.ckpt")
    return folder / "altered.ckpt"


def model_with_classes(**options):
    model = make_model(**options)
    model.class_names = CLASSES
    return model


# ---- an option given on resuming takes effect


def settings(optimizer):
    return [{k: v for k, v in g.items() if k != "params"} for g in optimizer.state_dict()["param_groups"]]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"learning_rate": 0.0005},
        {"betas": (0.5, 0.9)},
        {"r1": R1(gamma=1, every=7)},
        {"path_length": PathLength(every=0)},
    ],
    ids=str,
)
def test_a_resumed_optimizer_has_the_configured_settings_and_the_saved_moments(saved, changed):
    before = torch.load(saved, weights_only=True)["optimizer_states"]
    resumed = fit(make_model(**changed), 2, resume=saved)  # does one iteration before it stops
    for ours, fresh, then in zip(resumed.optimizers(), make_model(**changed).configure_optimizers(), before):
        assert settings(ours) == settings(fresh)
        assert ours.state_dict()["state"][0]["step"] > then["state"][0]["step"] > 0


class RandomState(pl.Callback):
    """The random state at the first iteration."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.__dict__.setdefault("first", torch.get_rng_state())


@pytest.mark.parametrize("seed", [5, 6])
def test_another_seed_given_on_resuming_makes_other_random_numbers(saved, seed):
    recorder = RandomState()
    fit(make_model(), 3, recorder, resume=saved, loader=lambda *a, **k: TrainingData(*a, seed=seed))
    stored = torch.load(saved, weights_only=True)["stylegan2"]["random"][0]["cpu"]
    assert torch.equal(recorder.first, stored) == (seed == 5)


# ---- what differs is refused, or told


def test_classes_of_other_names_are_refused_with_both_lists(saved):
    model = model_with_classes()
    assert read_matching(saved, model)["stylegan2"]["images"] == 16
    model.class_names = [*CLASSES[1:], "z"]
    with pytest.raises(InputError) as error:
        read_matching(saved, model)
    assert str(CLASSES) in str(error.value) and str(model.class_names) in str(error.value)


def test_another_augmentation_on_resuming_begins_anew(saved, tmp_path):
    ada = {"augment": "ada", "ada": ADAOptions(p=0.25, interval=100)}
    model = fit(make_model(**ada), 3, Saver(tmp_path / "ada.ckpt"), resume=saved)
    assert model.augmentation.p == 0.25 and model.augmentation.iterations == 1
    assert "augmentation.p" not in fit(make_model(), 4, resume=tmp_path / "ada.ckpt").state_dict()
    fixed = {"augment": "fixed", "ada": ADAOptions(p=0.5)}
    assert fit(make_model(**fixed), 4, resume=tmp_path / "ada.ckpt").augmentation.p == 0.5


def test_a_checkpoint_that_lacks_what_resuming_needs_is_refused(saved, tmp_path):
    for key in ("optimizer_states", "callbacks", "state_dict"):
        with pytest.raises(InputError, match=key):
            read_resumable(altered(saved, tmp_path, lambda c, key=key: c.pop(key)), model_with_classes())


def test_weights_of_other_names_or_shapes_are_refused_by_name(saved, tmp_path):
    def change(contents):
        del contents["state_dict"]["path_length_mean"]
        contents["state_dict"]["discriminator.b4.out.bias"] = torch.zeros(3)

    with pytest.raises(InputError, match=r"discriminator\.b4\.out\.bias, path_length_mean"):
        read_resumable(altered(saved, tmp_path, change), model_with_classes())


def test_a_checkpoint_with_nan_is_refused_with_an_earlier_one(saved, tmp_path):
    shutil.copy(saved, tmp_path / "kimg00000.016.ckpt")
    path = altered(
        saved, tmp_path, lambda c: c["optimizer_states"][1]["state"][0]["exp_avg"].fill_(torch.inf)
    )
    with pytest.raises(InputError, match=r"optimizer_states\.1\.state\.0\.exp_avg.*kimg00000\.016\.ckpt"):
        read_resumable(path, model_with_classes())
    assert read_resumable(saved, model_with_classes())


def image_folder(folder, shade, names=("0", "1", "2")):
    folder.mkdir()
    for name in names:
        Image.new("RGB", (8, 8), (shade, int(name), 0)).save(folder / f"{name}.png")
    return folder


def identity(folder):
    dataset = ImageData(str(folder), resolution=8).open(progress=False)
    return TrainingData(dataset, make_model(batch=1), seed=0).identity


def test_the_identity_of_images_is_that_of_their_names_and_contents(tmp_path):
    one = identity(image_folder(tmp_path / "one", 10))
    assert (one["path"], one["images"]) == (str(tmp_path / "one"), 3)
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    digests = [
        one["digest"],
        identity(tmp_path / "copy")["digest"],
        identity(image_folder(tmp_path / "other", 11))["digest"],
        identity(image_folder(tmp_path / "fewer", 10, "01"))["digest"],
    ]
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_other_images_on_resuming_are_told(saved, tmp_path, capsys):
    fit(make_model(), 2, resume=saved)
    assert "warning" not in capsys.readouterr().err
    before = {"path": "photos", "images": 1234, "digest": "other"}
    fit(make_model(), 2, resume=altered(saved, tmp_path, lambda c: c["stylegan2"].update(data=before)))
    assert (
        "1,234 images of 'photos'. Training continues on 1,906 images of 'demo'." in capsys.readouterr().err
    )


def test_a_checkpoint_without_seed_and_data_still_resumes(saved, tmp_path):
    def age(contents):
        del contents["stylegan2"]["seed"], contents["stylegan2"]["data"]
        contents["callbacks"] = {}

    assert_same_state(
        fit(make_model(), 3, resume=saved),
        fit(make_model(), 3, resume=altered(saved, tmp_path, age)),
        rtol=0,
        atol=0,
    )


# ---- only finite numbers are written


class Poison(pl.Callback):
    """Makes a number infinite after the second iteration, when no loss shows it."""

    def __init__(self, find):
        self.find = find

    def on_train_batch_end(self, trainer, module, *_):
        if module.iteration == 2:
            self.find(module, trainer.optimizers).view(-1)[-1] = torch.inf


@pytest.mark.parametrize(
    "name,find",
    [
        ("generator.synthesis.b4.const", lambda m, o: m.generator.synthesis.b4.const.data),
        ("generator_ema.mapping.w_avg", lambda m, o: m.generator_ema.mapping.w_avg),
        ("path_length_mean", lambda m, o: m.path_length_mean),
        ("optimizer_states.1.state.0.exp_avg_sq", lambda m, o: next(iter(o[1].state.values()))["exp_avg_sq"]),
    ],
)
def test_a_number_that_is_not_finite_keeps_the_checkpoint_before(saved, tmp_path, name, find):
    path = tmp_path / "last.ckpt"
    shutil.copy(saved, path)
    with pytest.raises(Diverged, match=rf"iteration 1 .*{name} is NaN or infinite.*learning_rate"):
        fit(make_model(), 2, Poison(find), Saver(path))
    assert path.read_bytes() == saved.read_bytes()


def test_every_tensor_in_nested_data_is_looked_at():
    bad = torch.tensor([1.0, torch.nan])
    tree = {"a": [torch.zeros(2), {"b": bad}], "c": (bad.half(), torch.tensor([1])), "d": "text"}
    assert not_finite(tree) == ["a.1.b", "c.0"]
    assert not_finite({"a": 1}) == []
