"""The Lightning strategy for several processes, and what happens if one of them is lost."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch.distributed as dist
from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from pytorch_lightning.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from torch.distributed.rendezvous import rendezvous

from .launch import Launch


def cluster_environment(launch: Launch) -> ClusterEnvironment:
    """How Lightning learns of the other processes. Left to itself it takes any allocation of SLURM for srun's."""
    if launch.by == "torchrun":
        return TorchElasticEnvironment()
    return SLURMEnvironment(auto_requeue=False) if launch.by == "srun" else LightningEnvironment()


GRACE = 20.0
"""Seconds in which the first process may end by itself when another one is lost. NCCL would wait for minutes."""


class Launcher(_SubprocessScriptLauncher):
    """Starts the other processes. If one of them is lost, this one ends with a message and status 1.

    Lightning's own launcher kills it at once, without a message.
    """

    explain: Callable[[], str]
    """The message."""

    def launch(self, function: Callable[..., Any], *args: Any, trainer: object = None, **kwargs: Any) -> Any:
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            self._call_children_scripts()
            threading.Thread(target=self._watch, daemon=True).start()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **kwargs)

    def _watch(self) -> None:
        while not any(process.poll() for process in self.procs):
            if all(process.poll() == 0 for process in self.procs):
                return
            time.sleep(0.5)
        time.sleep(GRACE)
        print(f"\n{self.explain()}", file=sys.stderr, flush=True)
        self.kill(getattr(signal, "SIGKILL", signal.SIGTERM))
        os._exit(1)


class LeanDDP(DDPStrategy):
    """Makes all processes start with the same weights. The module itself averages gradients once per phase.

    Lightning's DDP wraps the whole module. Its backward pass would wait for gradients of the network that a
    phase does not train.

    Args:
        last: Where the last checkpoint is, for the message if a process is lost.
        options: Those of Lightning's DDPStrategy.
    """

    def __init__(self, last: Path | None = None, **options: Any):
        super().__init__(**options)
        self.last = last

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = launcher = Launcher(self.cluster_environment, self.num_processes, self.num_nodes)
        launcher.explain = self.explain_loss

    def explain_loss(self) -> str:
        """Say which process was lost, as far as this one knows, and how to go on."""
        first = self.node_rank * self.num_processes + 1
        processes, deadline = cast(Launcher, self._launcher).procs, time.monotonic() + 2
        while not any(process.poll() for process in processes) and time.monotonic() < deadline:
            time.sleep(0.05)  # its connections close a moment before it has ended
        lost = [
            f"process {rank} {f'was killed by signal {-code}' if code < 0 else f'ended with status {code}'}"
            for rank, code in enumerate([process.poll() for process in processes], first)
            if code
        ]
        which = " and ".join(lost) or "another process has ended or cannot be reached"
        kept = f"\nThe last checkpoint is {self.last}, from which --ckpt_path last continues."
        return (
            f"Stopped: of the {self.world_size} processes of the run, {which}. If its own messages do not say why, "
            f"memory may have run out: set a smaller --batch_per_device."
            f"{kept if self.last and self.last.exists() else ''}"
        )

    def setup_distributed(self) -> None:
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        if attempt != "0" and not dist.is_initialized():
            # torchrun can keep its store when it starts processes again. Without a prefix they would find the
            # addresses of those that have ended.
            self.set_world_ranks()
            store, rank, processes = next(rendezvous("env://"))
            device = self.root_device if self.root_device.type == "cuda" else None
            dist.init_process_group(
                self._get_process_group_backend(),
                store=dist.PrefixStore(f"attempt_{attempt}", store),
                rank=rank,
                world_size=processes,
                device_id=device,
            )
        super().setup_distributed()

    def configure_ddp(self) -> None:
        assert self.model is not None  # Lightning has set it
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            dist.broadcast(tensor.data, src=0)
