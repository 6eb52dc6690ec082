"""Where a sweep's runs go: each worker has one GPU, of which its runs see no other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from puffer_phc.config import resolve_device
from puffer_phc.errors import InputError
from puffer_phc.processor import cores

_VISIBLE, _THREADS = "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Slot:
    """One worker's place.

    Attributes:
        device: option of its runs.
        environment: variables set for them.
        threads: option of its runs.
    """

    device: str
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int = 0


def slots_here(device: str, workers: int, threads: int = 0) -> list[Slot]:
    """The slots of this machine for the options ``--device``, ``--sweep.workers`` and ``--threads``.

    Runs share the processor's cores where ``threads`` is 0. A run's own option limits torch and the simulator;
    ``OMP_NUM_THREADS`` limits what else starts threads, one for each core of the machine if nobody tells it.

    Raises:
        InputError: there is no such device.
    """
    if resolve_device(device).type == "cpu":
        slots = [Slot("cpu")] * (workers or 1)
    else:
        slots = gpu_slots(device, workers, visible_gpus(os.environ, torch.cuda.device_count()))
    share = threads or max(1, cores() // len(slots))
    return [replace(slot, threads=share, environment={**slot.environment, _THREADS: str(share)}) for slot in slots]


def gpu_slots(device: str, workers: int, gpus: Sequence[str]) -> list[Slot]:
    """Slots that take turns on the GPUs, or all on the one that is named.

    A run sees its GPU alone, as number 0: a process that sees several tends to take memory on the first.

    Args:
        device: ``auto``, ``cuda`` or ``cuda:N``.
        workers: runs at once; 0 is one for each GPU.
        gpus: what ``CUDA_VISIBLE_DEVICES`` calls them.

    Raises:
        InputError: there is no GPU number N.
    """
    _, colon, number = device.partition(":")
    if colon:
        if int(number) >= len(gpus):
            raise InputError("--device", f"{device!r} asked for, but there are {len(gpus)} GPUs", "use a lower number")
        gpus = [gpus[int(number)]]
    return [Slot("cuda:0", {_VISIBLE: gpus[slot % len(gpus)]}) for slot in range(workers or len(gpus))]


def visible_gpus(environment: Mapping[str, str], count: int) -> list[str]:
    """Names of this process' ``count`` GPUs, numbers or identifiers, in the order that it sees them in."""
    named = [name.strip() for name in environment.get(_VISIBLE, "").split(",") if name.strip()]
    return named[:count] if named else [str(index) for index in range(count)]
