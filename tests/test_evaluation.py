"""Metrics during training: where their values go, and that training does not notice."""

import pytest
import torch

from stylegan2.cli import exit_status
from stylegan2.data import ImageData
from stylegan2.metrics.random_frechet import RandomFrechet
from stylegan2.networks.generator import Generator
from stylegan2.tools.train import train_command
from stylegan2.training.evaluation import generated_images, measure, real_images
from stylegan2.training.loggers import read_csv


@pytest.fixture
def dataset():
    return ImageData("demo/smileys-emotion", resolution=8).open(progress=False)


@pytest.fixture
def network():
    return Generator(8, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8)


def run(tiny, tmp_path, name, *args):
    command = [*tiny[:2], "--runs", str(tmp_path), "--name", name, "--log_kimg", "0.016", *args]
    assert train_command(command) == 0
    folder = tmp_path / name
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return read_csv(folder / "metrics.csv"), checkpoint


def test_training_with_metrics_is_training_without_bit_for_bit(tiny, tmp_path):
    args = ["--metrics.names", "[random_frechet,random_kernel]", "--metrics.every_kimg", "0.024"]
    rows, measured = run(tiny, tmp_path, "measured", *args, "--metrics.images", "20")
    plain_rows, plain = run(tiny, tmp_path, "plain")
    assert measured["state_dict"].keys() == plain["state_dict"].keys()
    for name, value in plain["state_dict"].items():
        assert torch.equal(value, measured["state_dict"][name]), name
    for ours, theirs in zip(measured["stylegan2"]["random"], plain["stylegan2"]["random"]):
        assert torch.equal(ours["cpu"], theirs["cpu"])

    values = [row for row in rows if row["metric_random_frechet"]]
    assert [float(row["kimg"]) for row in values] == [0.024, 0.048, 0.064]
    assert all(row["metric_random_kernel"] and float(row["evaluation_seconds"]) > 0 for row in values)
    assert [row["loss_g"] for row in rows if row["loss_g"]] == [row["loss_g"] for row in plain_rows]
    assert not any(name.startswith("metric_") for name in plain_rows[0])


def test_a_resumed_run_measures_what_an_uninterrupted_one_does(tiny, tmp_path):
    args = ["--metrics.names", "[random_frechet]", "--metrics.every_kimg", "0.032", "--metrics.images", "20"]
    whole, _ = run(tiny, tmp_path, "whole", *args)
    run(tiny, tmp_path, "resumed", *args, "--kimg", "0.032")
    resumed, _ = run(tiny, tmp_path, "resumed", *args, "--ckpt_path", "last")
    expected, found = (
        [row["metric_random_frechet"] for row in rows if row["evaluation_seconds"]]
        for rows in (whole, resumed)
    )
    assert found == expected and len(found) == 2


def test_an_unknown_metric_is_refused_before_anything_is_written(tiny, tmp_path):
    args = [*tiny[:2], "--runs", str(tmp_path / "runs"), "--metrics.names", "[fid]"]
    assert exit_status(train_command, args) == 2
    assert not (tmp_path / "runs").exists()


def test_measuring_leaves_random_state_mode_and_weights_alone(dataset, network):
    network.train()
    state, before = torch.get_rng_state(), {k: v.clone() for k, v in network.state_dict().items()}
    metric = {"x": RandomFrechet(real_images(dataset))}
    first = measure(metric, network, dataset, 20)
    assert torch.equal(torch.get_rng_state(), state) and network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    torch.manual_seed(5)
    assert measure(metric, network, dataset, 20) == first


def test_generated_images_have_the_labels_of_the_data_and_nan_weights_are_no_error(dataset, network):
    images = torch.cat(list(generated_images(network.eval(), dataset, 70)))
    assert images.shape == (70, 3, 8, 8) and images.dtype == torch.uint8
    assert len({tuple(image.flatten().tolist()) for image in images}) == 70
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(float("nan"))
        (images,) = generated_images(network, dataset, 4)
    assert (images == 128).all()


def test_real_images_are_all_of_a_small_set_and_a_fixed_choice_of_a_large_one(dataset):
    assert sum(map(len, real_images(dataset))) == len(dataset)
    first, second = (torch.cat(list(real_images(dataset, at_most=30))) for _ in range(2))
    assert len(first) == 30 and torch.equal(first, second)
