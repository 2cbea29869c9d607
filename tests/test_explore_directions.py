"""Directions: both methods find one that was planted; an edit moves w by so many standard deviations."""

import pytest
import torch
from explore_cases import save_network, tiny_network

from stylegan2.__main__ import run
from stylegan2.explore import find_directions, parse_edits, read_directions, sample_w, write_directions
from stylegan2.explore.directions import modulation_weights


@pytest.fixture(scope="module")
def planted():
    """A linear network in which w varies most, and styles depend most, along one direction n."""
    network = tiny_network(activation="linear")
    n = torch.nn.functional.normalize(torch.randn(16, generator=torch.Generator().manual_seed(5)), dim=0)
    with torch.no_grad():
        last = network.mapping.fc1.weight
        last += 5 * last.norm() * n[:, None] * torch.nn.functional.normalize(torch.randn(16), dim=0)
        for name, weight in network.named_parameters():
            if name.endswith("affine.weight"):
                style = torch.nn.functional.normalize(torch.randn(len(weight)), dim=0)
                weight += 5 * weight.norm() * style[:, None] * n
    return network, n


@pytest.mark.parametrize("method", ["sefa", "pca"])
@pytest.mark.parametrize("rows", [range(6), range(2, 4)], ids=str)
def test_both_methods_find_a_planted_direction(planted, method, rows):
    network, n = planted
    found = find_directions(network, method, rows, count=3, samples=2000)
    first, *others = found.vectors.values()
    assert (first @ n).abs() / first.norm() > 0.99
    assert all((other @ n).abs() / other.norm() < 0.1 for other in others)


def test_neither_finds_it_where_it_was_not_planted(planted):
    network, n = tiny_network(activation="linear"), planted[1]
    for method in ("sefa", "pca"):
        first = find_directions(network, method, count=1, samples=2000).vectors[f"{method}0"]
        assert (first @ n).abs() / first.norm() < 0.9


def test_a_strength_of_one_is_a_standard_deviation_of_w(planted):
    network, _ = planted
    w = sample_w(network, 4000, seed=77)
    for vector in find_directions(network, "pca", count=4, samples=4000).vectors.values():
        unit = vector / vector.norm()
        assert vector.norm().item() == pytest.approx((w @ unit).std().item(), rel=0.1)


def test_sefa_gives_the_right_singular_vectors_of_the_weights_of_its_layers():
    network = tiny_network()
    affine = [network.synthesis.b8.conv0.affine, network.synthesis.b4.torgb.affine]  # both take row 1
    weights = torch.cat([layer.weight * layer.weight_gain for layer in affine])
    assert torch.equal(
        modulation_weights(network, range(1, 2)).sum(dim=0), weights[[*range(8, 16), *range(8)]].sum(dim=0)
    ) or torch.allclose(modulation_weights(network, range(1, 2)).square().sum(), weights.square().sum())
    _, _, right = torch.linalg.svd(weights.double())
    for vector, expected in zip(find_directions(network, "sefa", range(1, 2), 3).vectors.values(), right):
        assert (vector.double() @ expected).abs() / vector.double().norm() == pytest.approx(1, abs=1e-5)


def test_directions_survive_their_file_and_an_edit_moves_only_their_layers(tmp_path):
    network = tiny_network()
    found = find_directions(network, "pca", range(2, 4), count=2, samples=500)
    write_directions(found, tmp_path / "d.safetensors")
    again = read_directions(tmp_path / "d.safetensors", network)
    assert list(again.vectors) == ["pca0", "pca1"] and again.rows == range(2, 4)
    (edit,) = parse_edits("pca1=-1..3", again)
    ws = torch.zeros(1, 6, 16)
    torch.testing.assert_close(edit.applied(ws, 0.5)[0, 2], found.vectors["pca1"])
    assert edit.applied(ws)[0, [0, 1, 4, 5]].abs().max() == 0
    torch.testing.assert_close(edit.applied(ws)[0, 3], -found.vectors["pca1"])


def test_the_command_names_directions_and_the_other_commands_use_them(tmp_path, capsys):
    checkpoint, file = save_network(tiny_network(3), tmp_path / "n.ckpt"), tmp_path / "d.safetensors"
    same = ["--checkpoint", str(checkpoint)]
    find = [*same, "--samples", "200", "--names", "1=smile", "--layers", "0-3", "--out", str(file)]
    assert run("directions", [*find, "--method", "pca"], "stylegan2 directions") == 0
    assert file.with_suffix(".png").is_file()
    use = ["--directions", str(file), "--classes", "dogs"]
    film = ["--seeds", "1", "--frames", "3", "--out", str(tmp_path / "v.gif")]
    assert run("video", [*same, *use, *film, "--edit", "smile=-2..2,0=1"], "stylegan2 video") == 0
    args = [
        *same,
        *use,
        "--kind",
        "truncation",
        "--rows",
        "0",
        "--steps",
        "2",
        "--out",
        str(tmp_path / "s.png"),
    ]
    sheets = []
    for edit in ([], ["--edit", "smile=2"]):
        assert run("sheet", [*args, *edit], "stylegan2 sheet") == 0
        sheets.append((tmp_path / "s.png").read_bytes())
    assert sheets[0] != sheets[1]
    capsys.readouterr()
    for edit, words in (
        ("age=1", "smile"),
        ("smile", "smile"),
        ("smile=x", "number"),
        ("smile=.nan", "number"),
    ):
        assert run("sheet", [*args, "--edit", edit], "stylegan2 sheet") == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "args,words",
    [
        (["--layers", "4-99"], "layers from 0 to 5"),
        (["--layers", "0,3"], "layers"),
        (["--count", "99"], "--count"),
        (["--samples", "1"], "--samples"),
        (["--names", "smile"], "0=smile"),
        (["--names", "0=a,1=a"], "different"),
        (["--out", "d.txt"], ".safetensors"),
        (["--checkpoint", "missing.ckpt"], "missing.ckpt"),
    ],
)
def test_bad_options_end_with_status_2_and_write_nothing(tmp_path, capsys, monkeypatch, args, words):
    checkpoint = save_network(tiny_network(), tmp_path / "n.ckpt")
    monkeypatch.chdir(tmp_path)
    options = ["--checkpoint", str(checkpoint), "--samples", "50", *args]
    assert run("directions", options, "stylegan2 directions") == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["n.ckpt"]


def test_a_file_of_other_contents_or_of_another_network_is_refused(tmp_path, capsys):
    network = tiny_network()
    checkpoint = save_network(network, tmp_path / "n.ckpt")
    write_directions(
        find_directions(tiny_network(size=32), "sefa", samples=50), tmp_path / "other.safetensors"
    )
    args = [
        "--checkpoint",
        str(checkpoint),
        "--kind",
        "noise",
        "--out",
        str(tmp_path / "s.png"),
        "--edit",
        "a=1",
    ]
    for name in ("n.ckpt", "other.safetensors"):
        assert run("sheet", [*args, "--directions", str(tmp_path / name)], "stylegan2 sheet") == 2
        assert name in capsys.readouterr().err
