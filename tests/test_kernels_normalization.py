"""The fast normalizations against their definitions, in float64: values and two derivatives."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from stylegan2.kernels import normalization as fast
from stylegan2.networks.normalization.filter_response import filter_response

FORMATS = [torch.contiguous_format, torch.channels_last]


def arguments(shape=(3, 4, 5, 6), form=torch.contiguous_format):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64).contiguous(memory_format=form)
    tensors = (
        x,
        *(torch.randn(shape[1], dtype=torch.float64) for _ in range(3)),
        torch.tensor(1e-3).double(),
    )
    return tuple(tensor.requires_grad_() for tensor in tensors)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (1, 4, 8, 8), (2, 3, 1, 1), (0, 3, 4, 4)])
def test_filter_response_and_its_derivatives_are_those_of_the_definition(shape, form):
    inputs = arguments(shape, form)
    results = []
    for function in (fast.filter_response, filter_response.__wrapped__):
        y = function(*inputs)
        first = torch.autograd.grad(y.pow(3).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
        results.append([y, *first, *second])
    for ours, expected in zip(*results):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


def test_filter_response_passes_gradcheck_twice():
    inputs = arguments((2, 2, 3, 2))
    assert gradcheck(fast.filter_response, inputs)
    assert gradgradcheck(fast.filter_response, inputs)


@pytest.mark.parametrize("form", FORMATS)
def test_filter_response_leaves_its_input_as_it_is_without_gradients(form):
    inputs = arguments(form=form)
    before = inputs[0].detach().clone()
    with torch.no_grad():
        y = fast.filter_response(*inputs)
    torch.testing.assert_close(inputs[0].detach(), before, rtol=0, atol=0)
    torch.testing.assert_close(y, filter_response.__wrapped__(*inputs).detach(), rtol=1e-9, atol=1e-9)


def test_filter_response_works_in_torch_func_in_forward_mode_and_in_a_trace():
    x, *others = (tensor.detach() for tensor in arguments((2, 3, 4, 4)))
    definition = filter_response.__wrapped__
    for function in (torch.func.jacrev, torch.func.jacfwd):
        ours, expected = (
            function(lambda v, f=f: f(v, *others).sum(0))(x) for f in (fast.filter_response, definition)
        )
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)
    traced = torch.jit.trace(lambda v: fast.filter_response(v, *others), x)
    torch.testing.assert_close(traced(2 * x), definition(2 * x, *others), rtol=1e-9, atol=1e-9)
    assert "PythonOp" not in str(traced.graph)
