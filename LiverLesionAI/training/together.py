"""Processes that train a network together, each on a GPU or a share of a processor, on one or more machines.

They are started from outside, by ``torchrun`` or SLURM's ``srun``, all with the same command line, and share
a file system. The first one leads: it makes patches, writes files and shows progress.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from LiverLesionAI.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments import ClusterEnvironment
    from torch.distributed import ProcessGroup

T = TypeVar("T")
_MEETING, _PATIENCE = timedelta(minutes=20), timedelta(days=7)
"""How long processes wait for each other: to begin and at each step; for what the first one does alone, which
may be making patches."""


@dataclass(frozen=True)
class Together:
    """The processes of a training, and which of them this is.

    Attributes
    ----------
    rank, count
        Of this process, from 0, and how many there are.
    machines
        On how many machines, as many on each.
    environment
        What started them, for Lightning; None for a process by itself.
    waiting
        The group of those who wait for the first one.
    """

    rank: int = 0
    count: int = 1
    machines: int = 1
    environment: ClusterEnvironment | None = None
    waiting: ProcessGroup | None = None

    @property
    def leads(self) -> bool:
        """Whether this is the first one."""
        return self.rank == 0

    def led(self, function: Callable[[], T]) -> T:
        """Let the first process call a function; all get its outcome.

        Raises
        ------
        LiverLesionError
            In the first process, what the function raises; in the others a :class:`TrainingError`.
        """
        if self.count == 1:
            return function()
        import torch
        from torch.distributed import broadcast_object_list

        answer: list[Any] = [None, ""]
        error: Exception | None = None
        if self.leads:
            try:
                answer[0] = function()
            except Exception as raised:
                error, answer[1] = raised, str(raised) or type(raised).__name__
        broadcast_object_list(answer, src=0, group=self.waiting, device=torch.device("cpu"))
        if error is not None:
            raise error
        if answer[1]:
            raise TrainingError(f"The first process of this training stopped: {answer[1]}")
        found: T = answer[0]
        return found


ALONE = Together()
_joined: Together | None = None


@contextmanager
def together() -> Iterator[Together]:
    """Join the processes that ``torchrun`` or ``srun`` started for one training; a process by itself is one.

    Those that are joined already stay so, also when the block ends.

    Raises
    ------
    ConfigError
        If they cannot reach each other.
    """
    global _joined
    if _joined is not None:
        yield _joined
        return
    environment = _environment()
    if environment is None or environment.world_size() == 1:
        yield ALONE
        return
    import torch
    from torch import distributed

    machines = int(os.environ.get("GROUP_WORLD_SIZE") or os.environ.get("SLURM_NNODES") or 1)
    count, rank = environment.world_size(), environment.global_rank()
    beside = max(1, count // machines)
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(environment.local_rank())
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // beside))
    where = f"tcp://{environment.main_address}:{environment.main_port}"
    try:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo",
            init_method="env://" if "TORCHELASTIC_RUN_ID" in os.environ else where,
            rank=rank,
            world_size=count,
            timeout=_MEETING,
        )
        waiting = distributed.new_group(backend="gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(
            f"The {count} processes of this training do not find each other: {reason}"
        ) from None
    try:
        _joined = Together(rank, count, machines, environment, waiting)
        yield _joined
    finally:
        _joined = None
        distributed.destroy_process_group()


def _environment() -> ClusterEnvironment | None:
    """What started this process together with others; Lightning is not imported to find none."""
    by_srun = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    if "TORCHELASTIC_RUN_ID" not in os.environ and not by_srun:
        return None
    from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    if not SLURMEnvironment.detect():
        return None
    try:
        return SLURMEnvironment(auto_requeue=False)
    except RuntimeError as error:
        raise ConfigError(str(error)) from None
