"""Training on several GPUs (or, to try it, several CPU processes): one process each, started by ``torchrun``.

Every rank has a simulator and a policy of its own. Gradients are averaged (``recorded.py``); normalisers, advantage
moments, learning rate and sampling weights are merged, so that N ranks learn as one with N times the humanoids would.
Decisions that depend on a clock (log, evaluate, save, stop) are rank 0's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from puffer_phc.errors import InputError
from puffer_phc.processor import cores

_PATIENCE = timedelta(minutes=30)  # rank 0 films and reports while the others wait


@dataclass(frozen=True)
class World:
    """The processes that train together. A world of size 1 does nothing and costs nothing.

    Attributes:
        rank: this process, 0 to size - 1.
        size: how many there are.
        control: a process group between processors, whose messages do not wait for a GPU.
    """

    rank: int = 0
    size: int = 1
    control: Any = None

    @property
    def first(self) -> bool:
        """Whether this process logs and saves."""
        return self.rank == 0

    @torch.no_grad()
    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its sum over ranks, in place."""
        if self.size == 1:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):  # one message for each type, in one order
            parts = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in parts])
            self.add_(flat)
            for tensor, total in zip(parts, flat.split([tensor.numel() for tensor in parts]), strict=True):
                tensor.copy_(total.view_as(tensor))

    def rehearse(self, device: torch.device) -> None:
        """Send a message of each type that there will be: the first ones take seconds."""
        for dtype in (torch.float32, torch.float64):
            self.add_(torch.zeros(1024, dtype=dtype, device=device))
            self.add_(torch.zeros((), dtype=dtype, device=device))

    def add_(self, tensor: Tensor) -> None:
        """Replace ``tensor``, contiguous, by its sum over ranks, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)

    def mean(self, tensor: Tensor) -> Tensor:
        """Mean over ranks, of every element."""
        if self.size == 1:
            return tensor
        total = tensor.detach().clone()
        self.add_(total)
        return total / self.size

    def broadcast_(self, tensor: Tensor) -> None:
        """Replace ``tensor`` by rank 0's, in place."""
        if self.size > 1:
            dist.broadcast(tensor, 0)

    def largest(self, values: Sequence[float]) -> list[float]:
        """The maximum over ranks of each number; a message between processors that does not wait for a GPU."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self.control)
        return tensor.tolist()

    def gather(self, item: Any) -> list[Any]:
        """Everyone's ``item``, in order of rank, for everyone."""
        if self.size == 1:
            return [item]
        items: list[Any] = [None] * self.size
        dist.all_gather_object(items, item, group=self.control)
        return items

    def share_weights(self, network: nn.Module) -> None:
        """Give every rank rank 0's parameters and buffers."""
        for tensor in (*network.parameters(), *network.buffers()):
            self.broadcast_(tensor.data)


def seed_of(seed: int, rank: int) -> int:
    """A rank's own seed: far from its neighbours', so that runs with small seeds do not share one."""
    return seed + 1_000_003 * rank


def rank_threads() -> int:
    """Processor threads for each rank that shares this machine; 0, all of them, without ``torchrun``."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, cores() // ranks) if ranks > 1 else 0


def world_size() -> int:
    """How many processes ``torchrun`` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """The world that ``torchrun`` describes, joined for the length of the block.

    Args:
        device: where this rank computes: GPUs talk through NCCL, processors through Gloo.
    """
    if world_size() == 1:
        yield World()
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE, device_id=device if device.type == "cuda" else None)
    try:
        control = dist.new_group(backend="gloo", timeout=_PATIENCE) if backend == "nccl" else dist.group.WORLD
        yield World(dist.get_rank(), dist.get_world_size(), control)
    finally:
        dist.destroy_process_group()


def local_device(device: torch.device, named: bool) -> torch.device:
    """The GPU of this rank, made torch's current one; a processor stays what it is.

    Args:
        device: as resolved from the options.
        named: the user named one GPU by its number.

    Raises:
        InputError: several ranks would share the GPU that was named, or there are fewer GPUs than ranks.
    """
    if device.type != "cuda" or world_size() == 1:
        return device
    if named:
        raise InputError("--device", f"{device} is one GPU, for {world_size()} ranks", "use --device cuda")
    index, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if index >= count:
        raise InputError("torchrun", f"more ranks on this machine than its {count} GPUs", "lower --nproc-per-node")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)
