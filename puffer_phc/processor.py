"""The processor as this process finds it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def cores() -> int:
    """Cores that this process may use; a scheduler or ``taskset`` may leave it a part of the machine's."""
    # Not all systems can tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def intra_op_threads(count: int) -> Iterator[None]:
    """Limit torch to ``count`` threads on the CPU for a while, a block or a function that this decorates.

    A control step's operations are too small to share, and torch's waiting threads would take cores from the
    simulator's, or from the neighbours' where many processes have an environment each.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
