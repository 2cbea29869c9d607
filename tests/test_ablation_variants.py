"""What is compared: overlays, their controls, sweeps, and what is left out."""

import pytest
import yaml

from stylegan2.ablation.plan.variants import ablations, effective, lookup, shipped_overlays, sweep
from stylegan2.cli import CONFIGS
from stylegan2.errors import InputError
from stylegan2.networks.scalings import Scalings

BASE = {"model": {"scalings": {"noise": True, "residual_gain": 0.70710678}, "ema": None}}


def test_the_files_of_configs_ablations_are_the_list_of_ablations():
    names = {path.stem for path in (CONFIGS / "ablations").iterdir()}
    assert set(shipped_overlays()) == names
    assert {v.name for v in ablations("all") if v.key} == names


def test_every_field_of_scalings_has_an_ablation():
    keys = {variant.key for variant in ablations("all,alternatives")}
    assert {f"model.scalings.{name}" for name in Scalings.__dataclass_fields__} <= keys


def test_every_overlays_first_entry_is_the_field_in_its_name():
    for variant in ablations("all"):
        field = variant.key.removeprefix("model.").removeprefix("scalings.").replace(".", "_")
        assert not variant.key or variant.name.startswith(field)


def test_the_files_of_a_folder_are_variants_together_and_by_name():
    names = {path.stem for path in (CONFIGS / "alternatives").iterdir()}
    assert {v.name for v in ablations("alternatives") if v.key} == names
    (default, one) = ablations("residual_gain_fixup")
    assert (one.key, one.value, one.control) == ("model.scalings.residual_gain", "fixup", default.name)


def test_a_scalings_name_stands_for_all_its_overlays():
    names = [variant.name for variant in ablations("weight_scaling,noise")]
    assert names == ["default", "weight_scaling_kaiming", "weight_scaling_none", "noise"]


def test_an_overlay_that_sets_more_is_compared_with_a_run_of_the_rest_alone():
    found = {variant.name: variant for variant in ablations("clamp")}
    assert found["clamp"].control == "clamp_control"
    assert lookup(found["clamp_control"].overlay, "model.generator.low_precision_blocks") == 2
    assert lookup(found["clamp_control"].overlay, "model.scalings") is None


def test_a_yaml_file_of_ones_own_is_an_ablation(tmp_path):
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump({"model": {"learning_rate": 1e-4}}), encoding="utf-8")
    default, slow = ablations(str(tmp_path / "slow.yaml"))
    assert (slow.name, slow.key, slow.value, slow.control) == (
        "slow",
        "model.learning_rate",
        "0.0001",
        default.name,
    )


@pytest.mark.parametrize("names", ["nois", "", ",", "nowhere.yaml"])
def test_names_of_nothing_are_refused(names):
    with pytest.raises(InputError, match=names or "at least one name"):
        ablations(names)


def test_a_sweep_has_a_variant_for_each_number_in_order():
    _, low, high = sweep("residual_gain", "1,0.5")
    assert (low.name, low.key, low.value) == ("residual_gain=0.5", "model.scalings.residual_gain", "0.5")
    assert lookup(high.overlay, "model.scalings.residual_gain") == 1
    assert sweep("r1.gamma", "1,2")[1].key == "model.r1.gamma"


def test_a_value_that_the_configuration_has_already_is_left_out(capsys):
    kept = effective(sweep("residual_gain", "0.5,0.7071"), BASE)
    assert [variant.name for variant in kept] == ["default", "residual_gain=0.5"]
    assert "residual_gain=0.7071 is left out" in capsys.readouterr().out
    with pytest.raises(InputError, match="Nothing is left"):
        effective(ablations("ema"), BASE)
    with pytest.raises(InputError, match="residual_gian is no option"):
        effective(sweep("residual_gian", "1,2"), BASE)
