"""The Lightning strategy for several processes."""

from __future__ import annotations

import os

import torch.distributed as dist
from pytorch_lightning.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.strategies import DDPStrategy
from torch.distributed.rendezvous import rendezvous

from .launch import Launch


def cluster_environment(launch: Launch) -> ClusterEnvironment:
    """How Lightning learns of the other processes. Left to itself it takes any allocation of SLURM for srun's."""
    if launch.by == "torchrun":
        return TorchElasticEnvironment()
    return SLURMEnvironment(auto_requeue=False) if launch.by == "srun" else LightningEnvironment()


class LeanDDP(DDPStrategy):
    """Makes all processes start with the same weights. The module itself averages gradients once per phase.

    Lightning's DDP wraps the whole module. Its backward pass would wait for gradients of the network that a
    phase does not train.
    """

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
