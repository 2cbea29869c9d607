"""Networks that leave Python: `torch.export` and ONNX, for any batch, as definitions that run without us."""

import io
import warnings

import pytest
import torch

from stylegan2 import Discriminator, Generator
from stylegan2.kernels import off

SMALL = {"channel_base": 128, "channel_max": 8, "mapping_layers": 2}


@pytest.fixture(params=["kernels", "definitions"])
def way(request):
    if request.param == "kernels":
        yield
    else:
        with off():
            yield


class Constant(torch.nn.Module):
    """A generator with the stored noise, so that two calls give equal images."""

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, z):
        return self.generator(z, noise="const")


def generator():
    return Constant(Generator(16, z_dim=8, w_dim=8, **SMALL)).eval()


def test_an_exported_generator_takes_any_batch(way):
    g = generator()
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(g, (torch.randn(3, 8),), dynamic_shapes=({0: batch},))
    for n in (1, 2, 5):
        z = torch.randn(n, 8)
        torch.testing.assert_close(program.module()(z), g(z), rtol=1e-4, atol=1e-5)


def test_an_exported_program_holds_definitions_alone_and_loads_again(way):
    program = torch.export.export(generator(), (torch.randn(2, 8),))
    assert not [node for node in program.graph.nodes if "stylegan2" in str(node.target)]
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    z = torch.randn(2, 8)
    assert torch.equal(torch.export.load(file).module()(z), program.module()(z))


def test_an_exported_discriminator_takes_any_batch_that_its_groups_divide(way):
    d = Discriminator(16, **SMALL).eval()
    batch = 4 * torch.export.Dim("groups", min=2, max=64)
    program = torch.export.export(d, (torch.randn(8, 3, 16, 16),), dynamic_shapes=({0: batch},))
    for n in (8, 12):
        images = torch.randn(n, 3, 16, 16)
        torch.testing.assert_close(program.module()(images), d(images), rtol=1e-4, atol=1e-5)


def test_a_discriminator_with_one_group_exports_for_any_batch(way):
    d = Discriminator(16, minibatch_group=None, **SMALL).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(d, (torch.randn(8, 3, 16, 16),), dynamic_shapes=({0: batch},))
    images = torch.randn(5, 3, 16, 16)
    torch.testing.assert_close(program.module()(images), d(images), rtol=1e-4, atol=1e-5)


def test_a_traced_generator_takes_any_batch_and_holds_definitions_alone(way):
    g = generator()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(g, torch.randn(3, 8))
    assert "stylegan2::" not in str(traced.inlined_graph)
    z = torch.randn(2, 8)
    torch.testing.assert_close(traced(z), g(z), rtol=1e-4, atol=1e-5)


def test_onnx_takes_any_batch(way, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    g, path = generator(), tmp_path / "generator.onnx"
    torch.onnx.export(
        g, (torch.randn(3, 8),), path, dynamo=True, verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},),
    )  # fmt: skip
    session = runtime.InferenceSession(str(path))
    for n in (1, 5):
        z = torch.randn(n, 8)
        (images,) = session.run(None, {session.get_inputs()[0].name: z.numpy()})
        torch.testing.assert_close(torch.from_numpy(images), g(z), rtol=1e-3, atol=1e-4)
