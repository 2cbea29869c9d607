"""Who started the processes of a run: this program itself, torchrun, or SLURM's srun."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """How many processes were started for a run, and which of them this one is."""

    by: str = "the program"
    """The program starts one process for each of --devices. torchrun and srun have started all of them already."""

    rank: int = 0
    """Number of this process among those of all machines."""

    per_machine: int = 1
    """Processes on each machine, if torchrun or srun started them."""

    machines: int = 1
    """Machines that take part."""

    restarted: bool = False
    """Whether torchrun started the processes again, after one of them had failed."""


def this_launch() -> Launch:
    """What the environment says. An allocation of SLURM alone means nothing: srun must have started several tasks."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        per_machine = int(env["LOCAL_WORLD_SIZE"])
        machines = int(env["WORLD_SIZE"]) // per_machine
        again = env.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
        return Launch("torchrun", int(env["RANK"]), per_machine, machines, restarted=again)
    tasks = int(env.get("SLURM_STEP_NUM_TASKS", 1))
    if tasks > 1:
        machines = int(env.get("SLURM_STEP_NUM_NODES", 1))
        return Launch("srun", int(env["SLURM_PROCID"]), tasks // machines, machines)
    return Launch(rank=int(env.get("LOCAL_RANK", 0)))


def is_first_process() -> bool:
    """Whether this is the process that writes and prints, of all those of the run."""
    return this_launch().rank == 0


def owner() -> str:
    """Words for the process that a run belongs to: this one, or the torchrun that starts its processes again."""
    number = os.getppid() if this_launch().by == "torchrun" else os.getpid()
    return f"process {number} on {socket.gethostname()}"
