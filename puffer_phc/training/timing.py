"""How long the parts of an iteration take, where they really run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Seconds by part. On a GPU they are the device's own: the processor only hands out work and runs ahead."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._seconds: dict[str, float] = {}
        self._pending: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        """Add the block's time to ``part``."""
        self._seconds.setdefault(part, 0.0)
        if self._cuda:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            yield
            end.record()
            self._pending.append((part, start, end))
        else:
            begin = time.perf_counter()
            yield
            self._seconds[part] += time.perf_counter() - begin

    def seconds(self) -> dict[str, float]:
        """Totals so far; waits for the device."""
        for part, start, end in self._pending:
            end.synchronize()
            self._seconds[part] += start.elapsed_time(end) / 1e3
        self._pending.clear()
        return dict(self._seconds)
