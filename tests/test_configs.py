"""Every YAML file of configs/ is a configuration, and says what it is."""

from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from stylegan2.cli import CONFIGS, build_data, build_model, train_parser
from stylegan2.training.module import StyleGAN2

OVERLAYS = sorted(path for path in CONFIGS.rglob("*.yaml") if path.parent != CONFIGS)
DEMO = str(CONFIGS / "demo.yaml")

parser = lru_cache(train_parser)


def parse(*args):
    return parser().parse_args(list(map(str, args)))


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_builds_networks(path: Path):
    base = ["--config", DEMO] if path in OVERLAYS else []
    options = parser().instantiate(parse(*base, "--config", path))
    assert build_data(options).resolution == options.data.resolution
    if options.data.resolution <= 32:
        shape = (3, options.data.resolution, options.data.resolution)
        dataset = SimpleNamespace(shape=shape, num_classes=0, class_names=[])
        model = build_model(options, dataset, options.batch)
        assert isinstance(model, StyleGAN2)
        with torch.no_grad():
            assert model.sampling_generator(torch.randn(2, model.generator.z_dim)).isfinite().all()


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_is_short_changes_the_demo_and_says_how_to_run_it(path: Path):
    text = path.read_text(encoding="utf-8")
    body = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert 1 <= len(body) <= 5
    command = f"--config configs/demo.yaml --config configs/{path.parent.name}/{path.name}"
    assert command in text and "# Expect:" in text
    demo, changed = (parse("--config", DEMO, *more) for more in ([], ["--config", path]))
    assert parser().dump(demo) != parser().dump(changed)
