"""Where and how the commands that make images compute: the device, the runtime, the number of threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

import torch

from stylegan2.errors import InputError
from stylegan2.networks.generator import Generator, SynthesisNetwork
from stylegan2.runtimes.choice import choose
from stylegan2.threads import ThreadTuner, candidates

RuntimeName = Literal["auto", "torch", "onnxruntime", "openvino"]
T = TypeVar("T")


def chosen_device(name: str) -> torch.device:
    """The device of the option --device.

    Raises:
        InputError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name} is not available on this machine: {error}. Try cpu.") from error
    return device


def served(network: Generator, runtime: RuntimeName, images: int) -> Generator:
    """The network with its images computed by a runtime, which a printed sentence names if it is not PyTorch.

    Args:
        network: The generator, on its device. A widened one runs in PyTorch only.
        runtime: The option --runtime.
        images: About how many images will be made.

    Raises:
        InputError: The runtime is not installed, or cannot run the network.
    """
    if network.image_size != network.config.image_size:
        if runtime not in ("auto", "torch"):
            raise InputError(
                f"--wide works with --runtime torch only, found {runtime}. Leave one of them out."
            )
        return network
    network, sentence = choose(network, runtime, images)
    if sentence:
        print(sentence, flush=True)
    return network


def thread_tuner(network: Generator, patience: float = 1.0) -> ThreadTuner:
    """What chooses the number of threads, with the patience of `ThreadTuner`.

    It never changes the number where PyTorch does not compute on the CPU.
    """
    on_cpu = next(network.parameters()).device.type == "cpu"
    uses_torch = isinstance(network.synthesis, SynthesisNetwork)
    return ThreadTuner(
        candidates() if on_cpu and uses_torch else [torch.get_num_threads()], patience=patience
    )


def timed(network: Generator, pieces: Iterable[T]) -> Iterator[T]:
    """Yield what an iterator makes with the network, equal work for each piece, with the fastest number of threads.

    Where PyTorch does not compute on the CPU, the number stays as it is.
    """
    tuner = thread_tuner(network)
    iterator = iter(pieces)
    try:
        while True:
            with tuner.piece():
                try:
                    piece = next(iterator)
                except StopIteration:
                    return
            yield piece
    finally:
        tuner.restore()
