"""The Lightning strategy for several processes."""

import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy


class LeanDDP(DDPStrategy):
    """Makes all processes start with the same weights. The module itself averages gradients once per phase.

    Lightning's DDP wraps the whole module. Its backward pass would wait for gradients of the network that a
    phase does not train.
    """

    def configure_ddp(self) -> None:
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            dist.broadcast(tensor.data, src=0)
