"""The catalogue of normalizations in whole networks: depth, exponents, droplets, studies and the record of all."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2 import Generator
from stylegan2.__main__ import run
from stylegan2.ablation.plan.study import Result, Study, load_study
from stylegan2.ablation.plan.variants import DEFAULT, Variant
from stylegan2.catalogue.droplets import peak, peaks
from stylegan2.catalogue.record import Record
from stylegan2.catalogue.sizes import depth, exponents, gain
from stylegan2.catalogue.studies import describe, results, study_arguments
from stylegan2.catalogue.tables import departs, findings, verdict
from stylegan2.errors import InputError


def test_the_record_asks_only_for_what_is_missing_under_equal_conditions(tmp_path):
    record = Record(tmp_path)
    assert record.begin("cost", {"side": 8}, ["none", "batch"]) == ["none", "batch"]
    record.put("cost", "none", {"time": math.nan})
    again = Record(tmp_path)
    assert again.begin("cost", {"side": 8}, ["none", "batch"]) == ["batch"]
    assert math.isnan(again.figures("cost", "none")["time"])
    assert again.begin("cost", {"side": 16}, ["none", "batch"]) == ["none", "batch"]
    assert not again.figures("cost", "none")


@pytest.mark.parametrize("text", ["", "[]", '{"cost": {"figures": {}}}'])
def test_a_damaged_record_is_refused(tmp_path, text):
    (tmp_path / "measurements.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="Delete the file"):
        Record(tmp_path)


def test_depth_shows_that_scales_multiply_without_a_normalization_and_not_with_one():
    def gains(name):
        return {network: gain(rms) for network, rms in depth(name, resolution=32, width=16, seeds=2).items()}

    assert gains("none")["generator"] > 1.5
    # Demodulation expects noise without correlation, so the low-pass filters take a share that it does not return.
    assert set(gains("demodulation")) == {"generator"} and 0.7 < gains("demodulation")["generator"] < 1.1
    assert gains("instance") == pytest.approx({"generator": 1, "discriminator": 1}, abs=0.15)


def test_depth_names_the_blocks_from_the_input_on_and_measures_labels_too():
    found = depth("conditional_instance", resolution=16, width=8, seeds=1)
    assert list(found["generator"]) == ["b4", "b8", "b16"]
    assert list(found["discriminator"]) == ["b16", "b8", "b4"]


def test_a_gain_is_the_geometric_mean_of_the_factors_between_blocks():
    assert gain({"b4": 1.0, "b8": 3.0, "b16": 4.0}) == pytest.approx(2.0)
    assert math.isnan(gain({"b4": 1.0}))


def test_exponents_of_normalized_features_are_zero_and_their_steps_grow_by_the_root_of_the_width():
    found = exponents("batch", seeds=4)
    for over in ("width", "depth", "batch"):
        assert found[over]["D features"]["mean"] == pytest.approx(0, abs=0.1)
    step = found["width"]["D features, change by 1 step"]
    assert step["predicted"] == 0.5 and step["mean"] == pytest.approx(0.5, abs=0.15)


def test_path_lengths_are_left_out_where_they_are_refused_and_d_where_there_are_no_styles():
    assert "path length" not in exponents("online", seeds=1)["width"]
    assert set(exponents("demodulation", seeds=1)["width"]) == {"image", "path length"}


def test_a_slope_departs_if_its_interval_is_farther_than_a_tenth_from_the_prediction():
    assert departs({"mean": 0.5, "half_width": 0.3, "predicted": 0.0})
    assert not departs({"mean": 0.5, "half_width": 0.45, "predicted": 0.0})
    assert not departs({"mean": 0.5, "half_width": 0.1, "predicted": None})


def test_a_peak_is_the_largest_magnitude_over_the_median():
    x = torch.full((2, 3, 5, 5), -2.0)
    x[1, :, 2, 3] = 14.0
    assert peak(x).tolist() == pytest.approx([1, 7])


def test_peaks_are_those_of_the_layers_outputs_and_a_planted_droplet_raises_them():
    torch.manual_seed(0)
    g = Generator(16, z_dim=8, w_dim=8, channel_max=8, mapping_layers=1).train()
    outputs = []
    handle = g.synthesis.b16.conv1.register_forward_hook(lambda *args: outputs.append(args[-1].numpy()))
    before = peaks(g, latents=5)
    handle.remove()
    magnitude = np.sqrt((outputs[0].astype(np.float64) ** 2).mean(axis=1)).reshape(5, -1)
    # The median of torch is the lower one of an even number.
    ratios = magnitude.max(axis=1) / np.sort(magnitude, axis=1)[:, (magnitude.shape[1] - 1) // 2]
    assert before["16"] == pytest.approx(ratios.mean(), rel=1e-6)
    assert list(before) == ["8", "16"] and g.training and not g.synthesis.b8.conv1._forward_hooks

    conv = g.synthesis.b16.conv1
    conv.noise_strength.data.fill_(1.0)
    conv.noise_const.zero_()[4, 4] = 100.0
    after = peaks(g, latents=5)
    assert after["16"] > 10 * before["16"] and after["8"] == before["8"]


def test_studies_leave_out_what_a_network_cannot_have(tmp_path):
    names = ["demodulation", "none", "online", "instance", "conditional_batch"]

    def fields(network, num_classes):
        args = study_arguments(names, network, tmp_path, num_classes)
        return [path.split("/")[-1] for path in args[1].split(",")]

    assert fields("generator", 0) == ["none.yaml", "instance.yaml", "conditional_batch.yaml"]
    assert fields("discriminator", 0) == ["online.yaml", "instance.yaml"]
    assert fields("discriminator", 3) == ["online.yaml", "instance.yaml", "conditional_batch.yaml"]
    assert study_arguments(["demodulation"], "generator", tmp_path, 0) == []
    text = (tmp_path / "overlays" / "generator" / "none.yaml").read_text(encoding="utf-8")
    assert text == "model:\n  generator:\n    normalization: none\n"


def made_study(work):
    """A study of the generator in which one variant is twice as far, and one has diverged."""
    variants = [Variant(name=DEFAULT)]
    variants += [
        Variant(name=n, key="model.generator.normalization", control=DEFAULT) for n in ("instance", "none")
    ]
    study = Study(out=work / "generator", variants=variants, seeds=3, kimg=2, images=4)
    study.save(
        "batch: 4\ndata: {path: photos/cats, resolution: 8}\nmodel: {generator: {normalization: null}}\n"
    )
    for each in study.runs:
        distance = {DEFAULT: 10, "instance": 20, "none": math.nan}[each.variant] * (1 + each.seed / 100)
        status = "diverged" if each.variant == "none" else "finished"
        study.save_result(each, Result(status=status, kimg=1, curve=[(2.0, distance)], why="loss_d is NaN"))
        if each.seed == 0:
            folder = study.folder(each) / "samples"
            folder.mkdir(parents=True)
            Image.new("RGB", (16 * 8, 8 * 8), "red").save(folder / "kimg00001.000.png")
    return study


def test_results_of_a_study_have_verdicts_distances_and_strips_of_equal_latents(tmp_path):
    made_study(tmp_path)
    record = Record(tmp_path / "out")
    record.begin("training.generator", describe(load_study(tmp_path / "generator")), [])
    for name, figures in results(tmp_path, "generator", tmp_path / "strips"):
        record.put("training.generator", name, figures)
    again = Record(tmp_path / "out")
    assert again.conditions("training.generator")["data"] == "cats"
    assert again.figures("training.generator", "instance")["comparison"]["ratio"] == pytest.approx(2)
    assert "significantly worse" in verdict("instance", "generator", again)
    assert "diverged" in verdict("none", "generator", again)
    assert "default" in verdict("demodulation", "generator", again)
    assert {p.stem for p in (tmp_path / "strips").iterdir()} == {"demodulation", "instance", "none"}
    picture = Image.open(tmp_path / "strips" / "instance.png")
    assert picture.size == (10 * 64, 64) and picture.convert("RGB").getpixel((5, 5)) == (255, 0, 0)


def test_unknown_parts_and_pages_without_measurements_are_refused(tmp_path, capsys):
    for parts, words in (("speed", "found speed"), ("pages", "Add --parts layer")):
        args = ["--out", str(tmp_path), "--parts", parts]
        assert run("normalizations", args, "stylegan2 normalizations") == 2
        assert words in capsys.readouterr().err


def test_findings_name_what_is_better_worse_and_diverged_and_what_could_have_been_seen():
    record = Record(Path("nowhere"))
    verdicts = {
        "a": "needed",
        "b": "better without",
        "c": "undecided",
        "d": "no detectable effect",
        "e": "undecided",
    }
    figures = {
        name: {"ended": "", "comparison": {"verdict": v, "ratio": 1.0, "detectable": factor}}
        for (name, v), factor in zip(verdicts.items(), [2.0, 2.0, 3.0, 4.0, math.nan])
    }
    figures["e"]["ended"] = "diverged at 1 kimg (1 of 2): loss_d is NaN"
    record.parts["training.generator"] = {
        "conditions": {},
        "figures": figures | {"demodulation": {"ended": ""}},
    }
    text = findings([*verdicts, "demodulation", "unmeasured"], "generator", record)
    assert "Significantly better: b. Significantly worse: a. Runs diverged: e." in text
    assert "no difference for 2 others" in text and "a factor of 2.50 in half" in text
    assert findings(["a"], "discriminator", record) == ""
