"""What a user mistypes or brings from elsewhere is refused with what it may stand for; help shows what will run."""

import dataclasses
import importlib
import pkgutil
import re
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import yaml

import stylegan2
from stylegan2.__main__ import main, run
from stylegan2.cli import CONFIGS, train_parser, with_default_config
from stylegan2.errors import InputError
from stylegan2.networks.scalings import Scalings
from stylegan2.yaml_files import read_yaml


def refused(capsys, *args, command="train"):
    with pytest.raises(SystemExit) as end:
        run(command, [str(arg) for arg in args], f"stylegan2 {command}")
    assert end.value.code == 2
    return capsys.readouterr().err.partition("error: ")[2]


@pytest.mark.parametrize(
    "args, meant",
    [
        (["--batch-size", "16"], "--batch 16"),
        (["--batch_size=16"], "--batch 16"),
        (["--gamma", "1"], "--model.r1.gamma 1"),
        (["--lr", "0.001"], "--model.learning_rate 0.001"),
        (["--device", "cpu"], "--accelerator cpu or --devices cpu"),
        (["--gpus", "2"], "--devices 2"),
        (["photos/"], "--data.path photos/"),
        (["--kimg", "1", "photos/"], "--data.path photos/"),
        (["--data", "photos/"], "--data.path photos/"),
        (["--resolution", "64"], "--data.resolution 64"),
        (["--mirror"], "--data.mirror"),
        (["--aug", "ada"], "--model.augment ada"),
        (["--holdout", "5%"], "--data.holdout 5%"),
        (["--kmig", "1"], "--kimg 1"),
        (["--channel_max", "64"], "--model.generator.channel_max 64 or --model.discriminator.channel_max 64"),
        (["--model.scalings.residual_gian", "1"], "--model.scalings.residual_gain 1"),
        (["--outdir", "x"], "--runs x"),
        (["--accelerator", "gpuu"], "gpu"),
        (["--loggers", "wadb"], "wandb"),
        (["--data.classes", "folder"], "folders"),
    ],
)
def test_a_mistyped_or_foreign_option_is_answered_with_what_it_stands_for(capsys, args, meant):
    assert f"Did you mean {meant}?" in refused(capsys, *args)


def test_other_commands_suggest_their_own_options(capsys):
    assert "Did you mean --psi 0.7?" in refused(capsys, "--trunc", "0.7", command="generate")
    assert "Did you mean --checkpoint a.pkl?" in refused(capsys, "--network", "a.pkl", command="generate")
    assert "Did you mean --source photos/?" not in refused(capsys, "photos/", command="pack")
    assert main(["trian"]) == 2 and "Did you mean train?" in capsys.readouterr().err


def test_evaluate_suggests_its_own_options(capsys):
    assert "Did you mean --checkpoint a.ckpt?" in refused(capsys, "a.ckpt", command="evaluate")
    assert "Did you mean --names fid?" in refused(capsys, "--metrics", "fid", command="evaluate")


@pytest.mark.parametrize(
    "words", [["fid,kid"], ["[fid,kid]"], ["fid", "kid"], ["[fid, kid]"]], ids=lambda words: " ".join(words)
)
@pytest.mark.parametrize("equals", [False, True])
def test_a_list_may_be_written_as_words(words, equals):
    args = [f"--metrics.names={words[0]}"] if equals else ["--metrics.names", *words]
    config = train_parser().parse_args([*args, "--kimg", "2", "--loggers", "wandb", "tensorboard"])
    assert config.metrics.names == (["fid"] if equals and words[0] == "fid" else ["fid", "kid"])
    assert config.kimg == 2 and config.loggers == ["wandb", "tensorboard"]


def test_what_stands_for_nothing_is_sent_to_the_help(capsys):
    assert "stylegan2 train --help lists the options" in refused(capsys, "--qqqqqq", "1")


@pytest.mark.parametrize(
    "content, words",
    [
        ("btach: 3", "Did you mean batch?"),
        ("data: {rsolution: 64}", "Did you mean data.resolution?"),
        ("model: {ema: {half_life: 3}}", "Did you mean"),
        ("loggers: wandb", "Write [wandb]"),
        ("accelerator: gpuu", "Did you mean gpu?"),
        ("batch: null", "--batch expects int, found null"),
    ],
)
def test_a_mistake_in_a_file_is_answered_too(capsys, tmp_path, content, words):
    (tmp_path / "my.yaml").write_text(content, encoding="utf-8")
    error = refused(capsys, "--config", tmp_path / "my.yaml")
    assert words in error and "<class" not in error and "typing." not in error


BOMB = b"a: &a [1, 1, 1]\n" + b"".join(
    b"%c: &%c [*%c, *%c, *%c]\n" % (i, i, *[i - 1] * 3) for i in range(98, 123)
)
"""3^26 values."""


@pytest.mark.parametrize(
    "content, words",
    [
        (b"a: [}", "cannot be read"),
        (b"- 1", "kimg: 100"),
        (b"a: \xff", "UTF-8"),
        (b"[" * 10000, "cannot be read"),
        (BOMB, "at most 10,000"),
        (b"a: &a [*a]", "at most 10,000"),
    ],
)
def test_a_file_that_holds_no_options_is_refused(tmp_path, capsys, content, words):
    (tmp_path / "my.yaml").write_bytes(content)
    assert run("train", ["--config", str(tmp_path / "my.yaml")], "train.py") == 2
    error = capsys.readouterr().err
    assert words in error and "my.yaml" in error
    assert run("train", ["--config", str(tmp_path / "none.yaml")], "train.py") == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_configuration_may_come_from_any_editor(tmp_path, encoding):
    (tmp_path / "my.yaml").write_text("name: größe×2\n", encoding=encoding)
    assert read_yaml(tmp_path / "my.yaml")[1] == {"name": "größe×2"}
    assert train_parser().parse_args(["--config", str(tmp_path / "my.yaml")]).name == "größe×2"


@pytest.mark.parametrize(
    "value",
    ["1e3", "007", "0x1F", "1_0", "1:30", "no", "On", "2024-01-31", "2024-99-99", "=", "!!int 7"],
)
def test_text_in_a_file_is_what_it_is_on_the_command_line(tmp_path, value):
    file, text = tmp_path / "my.yaml", value.removeprefix("!!int ")
    file.write_text(f"name: &a {value}\nruns: *a\ndata: {{path: {value}}}", encoding="utf-8")
    config = train_parser().parse_args(["--config", str(file), f"--ckpt_path={text}"])
    assert [config.name, config.runs, config.data.path, config.ckpt_path] == [text] * 4


def test_other_values_in_a_file_are_what_yaml_says(tmp_path):
    (tmp_path / "my.yaml").write_text(
        "data: {resolution: 8, path: 1.50}\n"
        "name: null\nckpt_path: ~\nseed: &n 0x10\nkimg: 1e-3\nruns: *n\nmodel:\n  ema: null\n"
        "  betas: [0, 0.99]\n  scalings: {noise: false, clamp: auto}\n",
        encoding="utf-8",
    )
    config = train_parser().parse_args(["--config", str(tmp_path / "my.yaml")])
    assert config.name is config.ckpt_path is config.model.ema is None
    assert (config.seed, config.runs, config.kimg, config.data.resolution) == (16, "0x10", 0.001, 8)
    assert config.data.path == "1.50" and config.model.betas == (0, 0.99)
    assert config.model.scalings.noise is False and config.model.scalings.clamp == "auto"


def test_text_may_be_merged_from_another_part(tmp_path):
    (tmp_path / "my.yaml").write_text(
        "data: {<<: [{path: 007}, {channels: 1}]}\ndata.resolution: 8", encoding="utf-8"
    )
    data = train_parser().parse_args(["--config", str(tmp_path / "my.yaml")]).data
    assert (data.path, data.channels, data.resolution) == ("007", 1, 8)


def test_lists_and_switches_may_be_written_shortly():
    lists = "--loggers wandb,tensorboard --metrics.names=random_frechet --devices 0,2 --model.betas 0,0.9"
    config = train_parser().parse_args([*lists.split(), "--data.mirror", "--name", "1e3"])
    assert config.loggers == ["wandb", "tensorboard"] and config.metrics.names == ["random_frechet"]
    assert config.devices == [0, 2] and tuple(config.model.betas) == (0, 0.9)
    assert config.data.mirror is True and config.name == "1e3"
    assert train_parser().parse_args(["--devices", "2", "--loggers", "[wandb]"]).devices == 2


def test_augment_is_short_for_the_models_option_and_auto_has_ada():
    for args in (["--augment", "fixed"], ["--augment=fixed"], ["--model.augment", "fixed"]):
        assert train_parser().parse_args(args).model.augment == "fixed"
    for name, augment in (("auto", "ada"), ("demo", "none"), ("config-f-256", "none")):
        config = train_parser().parse_args(["--config", str(CONFIGS / f"{name}.yaml")])
        assert config.model.augment == augment
    args = ["--model.ada.groups", "blit,filter", "--model.ada.multipliers.xflip", "0", "--model.ada.p=0.3"]
    ada = train_parser().instantiate(train_parser().parse_args(args)).model.ada
    assert (ada.p, ada.groups) == (0.3, ["blit", "filter"])
    assert [ada.multiplier(name) for name in ("xflip", "xint", "imgfilter", "hue")] == [0, 1, 1, 0]


# ---- help and --print_config


def printed(capsys, *args):
    with pytest.raises(SystemExit) as end:
        run("train", list(args), "train.py")
    assert end.value.code == 0
    return capsys.readouterr().out


def default_in(text, option):
    """The default that a help text gives for an option."""
    entry = " ".join(re.split(r"\n\n|\n  --", text.partition(f"  --{option} ")[2])[0].split())
    return entry.rpartition("default: ")[2].rstrip(")")


def test_help_shows_what_the_default_configuration_gives(capsys):
    text = printed(capsys, "--help")
    assert "demo.yaml" in text
    demo = yaml.safe_load((CONFIGS / "demo.yaml").read_text(encoding="utf-8"))
    assert default_in(text, "kimg") == str(demo["kimg"]) + ".0"
    assert default_in(text, "data.path") == demo["data"]["path"]
    assert default_in(text, "model.generator.mapping_layers") == "2"


def test_help_shows_what_a_path_and_other_configurations_give(capsys, tmp_path):
    text = printed(capsys, "--data.path", "photos", "--help")
    assert default_in(text, "data.resolution") == "256" and default_in(text, "model.r1.gamma") == "0.4096"
    (tmp_path / "my.yaml").write_text("batch: 48", encoding="utf-8")
    text = printed(capsys, "--config", str(CONFIGS / "auto.yaml"), f"--config={tmp_path / 'my.yaml'}", "-h")
    assert default_in(text, "batch") == "48" and default_in(text, "data.resolution") == "256"


def test_print_config_fills_in_what_follows_from_resolution_and_batch(capsys):
    text = printed(capsys, "--data.path", "photos", "--print_config", "--batch", "16")
    config = yaml.safe_load(text)
    assert config["model"]["r1"]["gamma"] == pytest.approx(0.0002 * 256**2 / 16)
    assert config["model"]["learning_rate"] == 0.0025
    assert config["model"]["ema"]["half_life_kimg"] == 5
    first = text.splitlines()[0]
    assert first.startswith("#") and "model.r1.gamma" in first and "model.learning_rate" in first


def test_a_printed_configuration_is_a_configuration(capsys, tmp_path):
    (tmp_path / "my.yaml").write_text(printed(capsys, "--print_config"), encoding="utf-8")
    again = train_parser().parse_args(["--config", str(tmp_path / "my.yaml")])
    first = train_parser().parse_args(with_default_config([]))
    first.config = again.config = None
    assert again == first


# ---- literals in Python


NOT_OPTIONS = {
    "Choice",
    "Comparison",
    "FeatureMetric",
    "Figure",
    "Film",
    "Look",
    "Measure",
    "Point",
    "ProjectionOptions",
    "Result",
    "Study",
    "Walk",
}
"""Dataclasses that no user writes, or that need networks or have choices too short for a nearest one. The latter are
tested in tests/test_explore_video.py and tests/test_page.py."""


def dataclasses_with_literals():
    """Every (dataclass, field, whether it is a list, a choice) of the package whose type is or holds a literal."""
    for module in pkgutil.walk_packages(stylegan2.__path__, "stylegan2."):
        if module.name.endswith(("__main__", ".configs")):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if not (
                isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.name
            ):
                continue
            try:
                hints = get_type_hints(kind)
            except NameError:  # it names what is imported for type checkers alone, and is no set of options
                continue
            for name in [field.name for field in dataclasses.fields(kind)]:
                literals = [h for h in (hints[name], *get_args(hints[name])) if get_origin(h) is Literal]
                words = [word for h in literals for word in get_args(h) if isinstance(word, str)]
                if words and kind.__name__ not in NOT_OPTIONS:
                    is_list = get_origin(hints[name]) is list
                    yield pytest.param(kind, name, is_list, words[0], id=f"{kind.__name__}-{name}")


@pytest.mark.parametrize("kind, name, is_list, word", list(dataclasses_with_literals()))
def test_every_literal_of_options_is_checked_and_the_nearest_named(kind, name, is_list, word):
    needed = {"resolution": 32} if "resolution" in {f.name for f in dataclasses.fields(kind)} else {}
    wrong = word[:-1] + "x"
    with pytest.raises(InputError, match=f"(?s){wrong}.*Did you mean {word}"):
        kind(**needed | {name: [wrong] if is_list else wrong})


@pytest.mark.parametrize(
    "field, value, meant",
    [("style_normalization", "demod", "demodulation"), ("weight_scaling", "equalised", "equalized")],
)
def test_a_kind_of_scaling_that_does_not_exist_is_refused(field, value, meant):
    with pytest.raises(InputError, match=f"Did you mean {meant}"):
        Scalings(**{field: value})
