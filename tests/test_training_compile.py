"""Switches for speed: compiled networks compute the same, and TF32 is as the option says."""

import shutil

import pytest
import torch
from training_cases import assert_same_state, fit, make_model

from stylegan2 import Scalings
from stylegan2.training.run import _tf32

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_compiled_networks_train_as_others_do():
    scalings = Scalings(noise=False)  # which compiled code would draw from another stream
    plain, compiled = (make_model(scalings=scalings).double() for _ in range(2))
    compiled.compile_networks()
    fit(plain, 4)
    fit(compiled, 4)  # R1 in iterations 0 and 3, path length in 0 and 2
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
    assert_same_state(plain, compiled, rtol=1e-7, atol=1e-9)


def test_penalties_are_computed_without_compiled_networks(monkeypatch):
    model = make_model()

    def refuse(*args):
        raise AssertionError("compiled code ran")

    monkeypatch.setattr(torch, "compile", lambda function, *args, **options: refuse)
    model.compile_networks()
    images, c = torch.zeros(4, 3, 8, 8), torch.eye(9)[:4]
    with pytest.raises(AssertionError, match="compiled code ran"):
        model.discriminator_loss(images, c)


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_as_the_option_says_and_restored(allowed):
    libraries = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [library.allow_tf32 for library in libraries]
    with _tf32(allowed):
        assert [library.allow_tf32 for library in libraries] == [allowed, allowed]
    assert [library.allow_tf32 for library in libraries] == before
