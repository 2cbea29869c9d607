"""The command `stylegan2 probe`."""

import json
import operator
import subprocess
import sys

import pytest
import torch

from stylegan2.cli import CONFIGS
from stylegan2.probing.rules.predictions import PREDICTIONS
from stylegan2.tools.probe import Builder, ablation_options, checkpoint_findings, main, make_probe_parser


@pytest.fixture
def arguments(tmp_path):
    networks = [
        f"--model.{network}.{option}={value}"
        for network in ("generator", "discriminator")
        for option, value in (("channel_base", 64), ("channel_max", 16))
    ]
    return [
        *("--data.path", "demo", "--data.resolution", "16", "--batch", "4", "--accelerator", "cpu"),
        *("--model.generator.mapping_layers", "2", "--out", str(tmp_path / "out"), *networks),
    ]


def test_the_command_writes_its_report_and_finds_nothing_wrong(arguments, tmp_path, capsys):
    more = ["--variants", "residual_gain,ema", "--theory_seeds", "1", "--iterations", "1"]
    assert main([*arguments, *more]) == 0
    assert "No fault found." in capsys.readouterr().out
    data = json.loads((tmp_path / "out" / "probe.json").read_text(encoding="utf-8"))
    assert [v["name"] for v in data["variants"]] == ["as configured", "residual_gain=1", "ema=null"]
    assert data["variants"][0]["after"]["iteration"] == 1
    text = (tmp_path / "out" / "probe.md").read_text(encoding="utf-8")
    assert "exploding depth" in text and "gain of a block of D, off: √2" in text
    for name in ("rms", "gradient", "step", "path_length"):
        assert (tmp_path / "out" / f"{name}.png").stat().st_size > 5000


def test_the_command_builds_every_variant(arguments):
    builder = Builder(make_probe_parser(), arguments)
    for overrides in ablation_options().values():
        model = builder.build(overrides, 0)
        for path, value in overrides.items():
            part, _, name = path.partition(".")
            owner = model.regularizers.get(part, model.config)
            assert operator.attrgetter(name if part in model.regularizers else path)(owner) == value


def test_the_command_fails_on_a_fault_and_tells_bad_input_apart(arguments, capsys):
    quick = ["--variants", "none", "--theory_seeds", "0"]
    assert main([*arguments, *quick, "--model.scalings.residual_gain", "1"]) == 1
    assert "exploding depth" in capsys.readouterr().out
    assert main([*arguments, "--variants", "gravity"]) == 2
    assert "gravity" in capsys.readouterr().err
    assert main([*arguments, "--checkpoint", "nowhere.ckpt"]) == 2


def test_a_checkpoint_is_probed_with_its_runs_own_configuration(arguments, tmp_path, capsys):
    from stylegan2.tools.train import train_command

    train = [a for i, a in enumerate(arguments) if a != "--out" and arguments[i - 1] != "--out"]
    runs = ["--runs", str(tmp_path / "runs"), "--name", "a", "--kimg", "0.02", "--snapshot_kimg", "0"]
    assert train_command([*train, *runs]) == 0
    path = tmp_path / "runs" / "a" / "checkpoints" / "last.ckpt"
    quick = ["--variants", "none", "--theory_seeds", "0", "--out", str(tmp_path / "out")]
    assert main(["--checkpoint", str(path), *quick]) == 0
    data = json.loads((tmp_path / "out" / "probe.json").read_text(encoding="utf-8"))
    start = data["variants"][0]["start"]
    assert start["iteration"] == 5 and 0 < start["numbers"]["ema_distance"] < 0.5
    contents = torch.load(path, weights_only=True)
    contents["optimizer_states"] = []
    torch.save(contents, path)
    assert main(["--checkpoint", str(path), *quick]) == 1
    assert "optimizers' state" in capsys.readouterr().out


def test_every_overlay_of_the_configurations_is_a_variant_with_a_prediction():
    assert list(ablation_options()) == list(PREDICTIONS)
    assert len(ablation_options()) == len(list((CONFIGS / "ablations").glob("*.yaml")))


def test_what_a_checkpoint_lacks_is_named():
    states = [{"state": {0: 0}}, {"state": {0: 0}}]
    assert not checkpoint_findings({"optimizer_states": states}, [])
    for kept in ([], states[:1], [{"state": {}}, states[0]]):
        (finding,) = checkpoint_findings({"optimizer_states": kept}, [])
        assert "optimizers' state" in finding.text
    (finding,) = checkpoint_findings({}, ["generator_ema.mapping.w_avg", "path_length_mean"])
    for part in ("generator EMA", "path length's mean", "optimizers' state"):
        assert part in finding.text


def test_help_imports_neither_lightning_nor_wandb_nor_matplotlib():
    code = (
        "import sys, stylegan2.tools.probe as p; p.make_probe_parser().format_help(); "
        "bad = {'pytorch_lightning', 'lightning', 'wandb', 'matplotlib'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
