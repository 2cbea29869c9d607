"""The probe on any module, silent on networks without a fault, and as a command."""

import copy
import json
import math
import operator

import pytest
import torch
from probing_cases import batch, faults, make
from torch import nn

import stylegan2
from stylegan2.probing.claims import ABLATIONS
from stylegan2.probing.diagnose import examine
from stylegan2.tools.probe import Bench, main, make_probe_parser

# Any module


def test_any_module_is_probed_layer_by_layer_in_forward_order():
    network = nn.Sequential(nn.Linear(8, 64), nn.ReLU(inplace=True), nn.BatchNorm1d(64), nn.Linear(64, 3))
    x = torch.randn(32, 8)
    found = stylegan2.probe(network, x)
    assert [row.kind for row in found.layers] == ["Linear", "ReLU", "BatchNorm1d", "Linear"]
    first = network[0](x)
    assert found["0"].rms == pytest.approx(first.square().mean().sqrt().item())
    assert found["0"].mean == pytest.approx(first.mean().item(), abs=1e-6)
    assert found["1"].input_rms == pytest.approx(found["0"].rms)
    assert found["3"].weight == pytest.approx(network[3].weight.square().mean().sqrt().item())
    assert json.loads(json.dumps(found.to_dict()))["rows"][0]["name"] == "0"
    assert "Adam step" in str(found)
    with pytest.raises(KeyError, match="no layer 'fc'; there are 0, 1, 2, 3"):
        found["fc"]


def test_gradients_are_those_of_the_users_loss():
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 1, bias=False))
    x = torch.randn(16, 4)
    found = stylegan2.probe(network, x, loss=lambda out: 3 * out.sum())
    assert found["1"].gradient == pytest.approx(3.0)
    expected = 3 * network[1].weight.square().mean().sqrt().item()
    assert found["0"].gradient == pytest.approx(expected)
    assert found.loss == pytest.approx(3 * network(x).sum().item(), rel=1e-5)


def test_the_step_is_the_one_adam_takes():
    network = nn.Linear(16, 4)
    before = network.weight.detach().clone()
    x = torch.randn(8, 16)
    found = stylegan2.probe(network, x, loss=lambda out: out.square().mean(), learning_rate=0.01)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    network(x).square().mean().backward()
    optimizer.step()
    taken = (network.weight - before).square().mean().sqrt() / before.square().mean().sqrt()
    assert found[""].step == pytest.approx(taken.item(), rel=1e-3)


def test_probing_leaves_the_module_as_it_was():
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    network[0].requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    stylegan2.probe(network, (torch.randn(16, 4, generator=torch.Generator().manual_seed(0)),))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [p.requires_grad for p in network[0].parameters()] == [False, False] and network.training
    assert all(p.grad is None for p in network.parameters())
    assert not any(layer._forward_hooks for layer in network.modules())


def test_other_peoples_networks_are_told_of_exploding_vanishing_dead_and_nan():
    def deep(scale):
        stack = [nn.Linear(32, 32, bias=False) for _ in range(6)]
        for layer in stack:
            nn.init.normal_(layer.weight, std=scale / math.sqrt(32))
        return nn.Sequential(*stack)

    names = {s: {f.name for f in stylegan2.probe(deep(s), torch.randn(64, 32)).findings} for s in (0.2, 1, 5)}
    assert names == {0.2: {"vanishing depth"}, 1: set(), 5: {"exploding depth"}}

    class Root(nn.Module):
        def forward(self, x):
            return x.sqrt()

    found = stylegan2.probe(nn.Sequential(nn.Linear(4, 4), Root()), torch.randn(8, 4)).findings
    assert [f.name for f in found] == ["non-finite values"]

    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.a(x).detach() + self.b(x)

    (finding,) = stylegan2.probe(Detached(), torch.randn(8, 4)).findings
    assert finding.name == "no gradient" and "a:" in finding.text


# No fault where there is none


@pytest.mark.parametrize("g", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("d", ["resnet", "skip", "orig"])
def test_default_networks_have_no_fault_in_any_architecture(g, d):
    assert not faults(make(16, g=g, d=d))


@pytest.mark.parametrize(
    ("resolution", "options"),
    [
        (32, {"num_classes": 3}),
        (32, {"img_channels": 1, "g": "resnet"}),
        (64, {}),
        (64, {"g": "orig", "d": "skip", "num_classes": 2, "img_channels": 1}),
        (128, {"base": 1024}),
        (256, {"base": 1024}),
    ],
)
def test_default_networks_have_no_fault_at_any_resolution(resolution, options):
    assert not faults(make(resolution, **options))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("g", ["skip", "resnet", "orig"])
def test_default_networks_have_no_fault_for_any_seed(g, seed):
    d = ["resnet", "skip", "orig"][seed % 3]
    assert not faults(make(32, g=g, d=d, seed=seed), seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("g", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("resolution", [256, 512, 1024])
def test_default_networks_have_no_fault_at_high_resolution(resolution, g):
    model = make(resolution, g=g, base=8192, blocks={"channel_max": 32})
    assert not examine(model, *batch(model, 4 if resolution == 256 else 2)).findings  # as the command does


def test_examining_leaves_networks_and_random_state_as_they_were():
    model = make(16, base=256)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    examine(model, *batch(model))
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.generator.training and all(p.grad is None for p in model.parameters())


# The command


@pytest.fixture
def arguments(tmp_path):
    networks = [
        f"--model.{network}.{option}={value}"
        for network in ("generator", "discriminator")
        for option, value in (("channel_base", 128), ("channel_max", 16))
    ]
    return [
        *("--data.path", "demo", "--data.resolution", "16", "--batch", "4", "--accelerator", "cpu"),
        *("--model.generator.mapping_layers", "2", "--out", str(tmp_path / "out"), *networks),
    ]


def test_the_command_writes_its_report_and_finds_nothing_wrong(arguments, tmp_path, capsys):
    more = ["--variants", "residual_gain,ema", "--theory_seeds", "1", "--iterations", "1"]
    assert main([*arguments, *more]) == 0
    assert "No fault found." in capsys.readouterr().out
    data = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert [v["name"] for v in data["variants"]] == ["as configured", "residual_gain=1", "ema=null"]
    assert data["variants"][0]["after"]["iteration"] == 1
    text = (tmp_path / "out" / "probe.md").read_text()
    assert "exploding depth" in text and "gain of a block of D, off: √2" in text
    for name in ("rms", "gradient", "step", "path_length"):
        assert (tmp_path / "out" / f"{name}.png").stat().st_size > 5000


def test_the_command_builds_every_variant(arguments):
    bench = Bench(make_probe_parser(), arguments)
    for overrides in ABLATIONS.values():
        model = bench.build(overrides, 0)
        for path, value in overrides.items():
            assert operator.attrgetter(path)(model) == value


def test_the_command_fails_on_a_fault_and_tells_bad_input_apart(arguments, capsys):
    quick = ["--variants", "none", "--theory_seeds", "0"]
    assert main([*arguments, *quick, "--model.scalings.residual_gain", "1"]) == 1
    assert "exploding depth" in capsys.readouterr().out
    assert main([*arguments, "--variants", "gravity"]) == 2
    assert "gravity" in capsys.readouterr().err
    assert main([*arguments, "--checkpoint", "nowhere.ckpt"]) == 2


def test_a_checkpoint_is_probed_with_its_runs_own_configuration(arguments, tmp_path, capsys):
    from stylegan2.cli import train_command

    train = [a for i, a in enumerate(arguments) if a != "--out" and arguments[i - 1] != "--out"]
    runs = ["--runs", str(tmp_path / "runs"), "--name", "a", "--kimg", "0.02", "--snapshot_kimg", "0"]
    assert train_command([*train, *runs]) == 0
    path = tmp_path / "runs" / "a" / "checkpoints" / "last.ckpt"
    quick = ["--variants", "none", "--theory_seeds", "0", "--out", str(tmp_path / "out")]
    assert main(["--checkpoint", str(path), *quick]) == 0
    data = json.loads((tmp_path / "out" / "probe.json").read_text())
    start = data["variants"][0]["start"]
    assert start["iteration"] == 5 and 0 < start["numbers"]["ema_distance"] < 0.5
    contents = torch.load(path, weights_only=True)
    contents["optimizer_states"] = []
    torch.save(contents, path)
    assert main(["--checkpoint", str(path), *quick]) == 1
    assert "optimisers' state" in capsys.readouterr().out
