"""Centers: k-means finds clusters, and truncation goes towards the nearest center."""

import numpy as np
import pytest
import torch
from explore_cases import tiny_network
from scipy.cluster.vq import kmeans2

from stylegan2.explore import cluster_centers, interpolation_walk, sample_w
from stylegan2.explore.centers import k_means, nearest


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
