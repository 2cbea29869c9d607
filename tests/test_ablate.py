"""Ablations: the overlays, the schedule, the statistics, the report."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from stylegan2.cli import CONFIGS, build_data, build_model, train_parser
from stylegan2.training import StyleGAN2

OVERLAYS = sorted((CONFIGS / "ablations").glob("*.yaml"))
DEMO = str(CONFIGS / "demo.yaml")


def parsed(*args):
    parser = train_parser()
    config = parser.parse_args(list(map(str, args)))
    return parser.instantiate(config), config


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_instantiates(path: Path):
    overlay = path.parent.name == "ablations"
    options, _ = parsed(*(["--config", DEMO] if overlay else []), "--config", path)
    assert build_data(options).resolution == options.data.resolution
    if options.data.resolution <= 32:
        shape = (3, options.data.resolution, options.data.resolution)
        dataset = SimpleNamespace(shape=shape, num_classes=0, class_names=[])
        model = build_model(options, dataset, options.batch)
        assert isinstance(model, StyleGAN2)
        with torch.no_grad():
            assert model.sampler(torch.randn(2, model.generator.z_dim)).isfinite().all()


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_is_short_changes_the_demo_and_says_how_to_run_it(path: Path):
    text = path.read_text()
    body = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert 1 <= len(body) <= 5
    assert (
        f"--config configs/demo.yaml --config configs/ablations/{path.name}" in text and "# Expect:" in text
    )
    options = [parsed("--config", DEMO, *more)[1] for more in ([], ["--config", path])]
    assert train_parser().dump(options[0]) != train_parser().dump(options[1])
