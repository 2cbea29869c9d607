"""Kernels check themselves: what is right passes and is remembered, what is wrong is named and put aside."""

import json
import shutil
import warnings

import pytest
import torch

from stylegan2.kernels import build, library, self_check
from stylegan2.ops import bias_act

pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")


@pytest.fixture(autouse=True)
def _kernels():
    assert build.available("cpu")


def test_right_kernels_pass_and_are_remembered_beside_the_build(tmp_path, monkeypatch):
    self_check.check("cpu", tmp_path)
    assert len(json.loads((tmp_path / "checked.json").read_text(encoding="utf-8"))) == 1
    monkeypatch.setattr(self_check, "_check_device", lambda *_: pytest.fail("checked again"))
    self_check.check("cpu", tmp_path)


@pytest.mark.parametrize("op", ["upfirdn2d", "bias_act"])
def test_a_wrong_kernel_is_named_with_what_to_report(op, tmp_path, monkeypatch):
    right = getattr(library, op)
    monkeypatch.setattr(library, op, lambda *args: right(*args) * 1.01)
    with pytest.raises(self_check.WrongResultError, match=rf"{op} .* off on .*doctor"):
        self_check.check("cpu", tmp_path)
    assert not (tmp_path / "checked.json").exists()


def test_a_kernel_that_does_not_launch_is_put_aside_with_one_warning(tmp_path, monkeypatch):
    """As on a GPU: the same path, with the CPU's library in the place of CUDA's."""

    def fail(*args):
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(library, "upfirdn2d", fail)
    monkeypatch.setattr(build, "plan", lambda device: build.Build("cpu", (), (), "0"))
    monkeypatch.setattr(build, "build", lambda what: tmp_path)
    monkeypatch.setenv("STYLEGAN2_CACHE", str(tmp_path))
    monkeypatch.setenv("STYLEGAN2_KERNELS", "auto")
    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(self_check, "_name", lambda *_: "a GPU")
    check_device = self_check._check_device
    monkeypatch.setattr(
        self_check, "_check_device", lambda device, name: check_device(torch.device("cpu"), name)
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert not build.available("cuda")
        assert not build.available("cuda")
    assert len(caught) == 1 and "illegal memory access" in str(caught[0].message)
    assert bias_act(torch.ones(2, 3)).sum() == 6


def test_a_read_only_cache_does_not_stop_the_check(tmp_path, monkeypatch):
    def read_only(path, text):
        raise OSError("read-only file system")

    monkeypatch.setattr(self_check, "write_text", read_only)
    self_check.check("cpu", tmp_path)
