"""The processor as this process finds it."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores that this process may use; a scheduler or ``taskset`` may leave it a part of the machine's."""
    # Not all systems can tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
