"""Centers: k-means finds clusters, and truncation goes towards the nearest center."""

import numpy as np
import pytest
import torch
from explore_cases import save_network, tiny_network
from PIL import Image
from scipy.cluster.vq import kmeans2

from stylegan2.__main__ import run
from stylegan2.explore import cluster_centers, interpolation_walk, sample_w
from stylegan2.explore.centers import k_means, nearest
from stylegan2.explore.latents import latent, w_of
from stylegan2.images import to_picture


def test_k_means_finds_clusters_that_are_apart_the_largest_first():
    middles = 20 * torch.randn(4, 8)
    counts = (400, 300, 200, 100)
    points = torch.cat([middle + torch.randn(count, 8) for middle, count in zip(middles, counts)])
    found = k_means(points[torch.randperm(1000)], 4)
    torch.testing.assert_close(found, middles, rtol=0, atol=0.5)


def test_the_centers_of_w_are_a_fixed_point_of_scipys_k_means():
    network = tiny_network()
    centers = cluster_centers(network, 5, samples=500)
    w = sample_w(network, 500).double().numpy()
    scipy, of = kmeans2(w, centers.double().numpy(), iter=1, minit="matrix")
    np.testing.assert_allclose(centers.numpy(), scipy, atol=1e-5)
    assert np.array_equal(nearest(torch.from_numpy(w), torch.from_numpy(scipy)).numpy(), scipy[of])


def test_one_center_is_the_mean_and_more_centers_are_nearer():
    network = tiny_network()
    w = sample_w(network, 500)
    errors = []
    for count in (1, 4, 16):
        centers = cluster_centers(network, count, samples=500)
        errors.append(float((w - nearest(w, centers)).square().sum(dim=1).mean()))
    torch.testing.assert_close(cluster_centers(network, 1, samples=500)[0], w.mean(dim=0))
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("classes", [0, 3])
def test_a_seed_is_truncated_towards_its_nearest_center(classes):
    network = tiny_network(classes)
    centers, labels = torch.randn(3, 16), torch.eye(3)[:2, :classes]
    walk = interpolation_walk(network, [1, 2], labels, centers=centers)
    for k in (0, 1):
        distances = (centers - walk.path(k)).norm(dim=1)
        torch.testing.assert_close(walk.center(k), centers[distances.argmin()])
    own = interpolation_walk(network, [1, 2], labels)
    mean = network.mapping.w_mean(labels) if classes else network.mapping.w_avg.expand(2, -1)
    torch.testing.assert_close(own.center(1), mean[1])


@pytest.mark.parametrize("classes", [0, 3])
def test_generate_and_video_truncate_towards_the_nearest_center(classes, tmp_path):
    network = tiny_network(classes)
    checkpoint = save_network(network, tmp_path / "n.ckpt")
    label = ["--classes", "dogs"] if classes else []
    args = ["--checkpoint", str(checkpoint), "--seeds", "1,2", "--psi", "0.5", "--centers", "3", *label]
    assert run("generate", [*args, "--out", str(tmp_path / "a"), "--scale", "16"], "stylegan2 generate") == 0
    assert run("video", [*args, "--out", str(tmp_path / "b"), "--frames", "1"], "stylegan2 video") == 0
    labels = torch.eye(3)[1:2] if classes else None
    centers = cluster_centers(network, 3, labels)
    for number, seed in enumerate((1, 2)):
        w = w_of(network, latent(network, seed), labels)
        center = centers[(centers - w).norm(dim=1).argmin()]
        ws = (center + 0.5 * (w - center))[:, None].expand(-1, network.num_ws, -1)
        image = np.asarray(to_picture(network.synthesis(ws, "const")[0])).astype(int)
        suffix = "-class1-dogs" if classes else ""
        found = np.asarray(Image.open(tmp_path / "a" / f"seed{seed:04d}{suffix}.png")).astype(int)
        assert np.abs(found[::16, ::16] - image).max() <= 1
        frame = np.asarray(Image.open(tmp_path / "b" / f"frame{number:06d}.png")).astype(int)
        assert np.abs(found - frame).max() <= 1  # the spline has rounded


@pytest.mark.parametrize(
    "command,args,words",
    [
        ("generate", ["--centers", "4"], "--psi 1"),
        ("generate", ["--centers", "4", "--psi", "0.7", "--center", "global"], "--center global"),
        ("generate", ["--centers", "4", "--psi", "0.7", "--latent", "a.safetensors"], "--latent"),
        ("generate", ["--centers", "0", "--psi", "0.7"], "--centers"),
        ("generate", ["--wide", "0"], "--wide"),
        ("generate", ["--wide", "2", "--runtime", "openvino"], "--runtime"),
        ("video", ["--centers", "4"], "--psi 1"),
        ("sheet", ["--kind", "mixing", "--centers", "4"], "--psi 1"),
    ],
)
def test_combinations_without_a_sense_are_refused(tmp_path, capsys, monkeypatch, command, args, words):
    checkpoint = save_network(tiny_network(), tmp_path / "n.ckpt")
    monkeypatch.chdir(tmp_path)
    out = {"generate": "out", "video": "out.gif", "sheet": "out.png"}[command]
    args = ["--checkpoint", str(checkpoint), "--out", out, *args]
    assert run(command, args, f"stylegan2 {command}") == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert not list(tmp_path.rglob("*.png")) and not list(tmp_path.rglob("*.gif"))
