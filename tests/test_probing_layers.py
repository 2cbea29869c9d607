"""What `stylegan2.probe` measures on any module."""

import copy
import json
import math

import pytest
import torch
from torch import nn

import stylegan2


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
    with pytest.raises(KeyError, match="no layer 'fc'; the layers are 0, 1, 2, 3"):
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
