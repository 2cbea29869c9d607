"""The Lightning strategy for several processes."""

from __future__ import annotations

import torch.distributed as dist
from pytorch_lightning.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.strategies import DDPStrategy

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

    def configure_ddp(self) -> None:
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            dist.broadcast(tensor.data, src=0)
