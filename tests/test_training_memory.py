"""An iteration that needs more memory than there is: the message names the micro-batch that fits."""

import pytest
import torch
from training_cases import make_model

from stylegan2.errors import InputError
from stylegan2.networks.discriminator import Discriminator
from stylegan2.training.memory import fits


@pytest.fixture
def memory_for(monkeypatch):
    """Simulate memory for so many images in D at once."""

    def limit(most, error=torch.OutOfMemoryError("CUDA out of memory.")):  # noqa: B008
        forward = Discriminator.forward

        def limited(self, img, c=None):
            if len(img) > most:
                raise error
            return forward(self, img, c)

        monkeypatch.setattr(Discriminator, "forward", limited)

    return limit


def model_and_batch(n=12, **options):
    model = make_model(batch=n, **options)
    optimizers = model.configure_optimizers()
    model.optimizers = lambda: optimizers
    random = torch.Generator().manual_seed(0)
    return model, (torch.rand(n, 3, 8, 8, generator=random) * 2 - 1, torch.eye(9)[torch.arange(n) % 9])


@pytest.mark.parametrize("most, fitting", [(7, 4), (4, 4), (3, 2), (1, 1)])
@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("short"), RuntimeError("can't allocate memory: 9 GB")]
)
def test_the_message_names_the_micro_batch_that_fits(memory_for, most, fitting, error):
    model, batch = model_and_batch()
    memory_for(most, error)
    with pytest.raises(InputError, match=f"12 images .* {fitting} fit: add --batch_per_device {fitting},"):
        model.training_step(batch)
    model, batch = model_and_batch(batch_per_device=fitting)
    model.training_step(batch)
    assert model.images == 12


def test_if_nothing_fits_smaller_networks_are_advised(memory_for):
    model, batch = model_and_batch()
    memory_for(0)
    with pytest.raises(InputError, match="Not even 1 fit. Lower data.resolution, or the channel_base"):
        model.training_step(batch)


def test_trying_leaves_the_model_as_it_is():
    model, batch = model_and_batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert fits(model, *batch)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_other_errors_stay_what_they_are(memory_for):
    model, batch = model_and_batch()
    memory_for(0, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        model.training_step(batch)
