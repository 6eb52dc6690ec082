"""Circular stores of motions on the device."""

from __future__ import annotations

import torch
from torch import Tensor


class ReplayBuffer:
    """Rows of the past, of which a few of every later batch replace the oldest.

    Until as many rows have been offered as there is room for, every one is stored; afterwards each is kept with a fixed
    probability, so that the store reaches far back. Nothing waits for the device: how many rows have been offered is
    known without asking it, where the next one goes is kept on it.
    """

    def __init__(self, capacity: int, width: int, keep: float, device: torch.device) -> None:
        """Room for ``capacity`` rows of ``width`` numbers; ``keep`` is the probability once it is full."""
        self.capacity, self.keep = capacity, keep
        self.rows = torch.zeros(capacity + 1, width, device=device)  # what is not kept goes into the last
        self._head = torch.zeros((), dtype=torch.long, device=device)
        self._offered = 0

    def __len__(self) -> int:
        """Rows that can be drawn."""
        return min(self._offered, self.capacity)

    @torch.no_grad()
    def add(self, rows: Tensor, generator: torch.Generator | None = None) -> None:
        """Offer rows (M, W)."""
        rows = rows[-self.capacity :]  # more would overwrite one another
        count = len(rows)
        if self._offered <= self.capacity:
            kept = torch.ones(count, dtype=torch.bool, device=rows.device)
        else:
            kept = torch.rand(count, device=rows.device, generator=generator) < self.keep
        place = (self._head + kept.long().cumsum(0) - 1) % self.capacity
        self.rows.index_copy_(0, torch.where(kept, place, self.capacity), rows)
        self._head += kept.sum()
        self._offered += count

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Rows (count, W) drawn evenly with replacement; there must be some."""
        ids = torch.randint(len(self), (count,), device=self.rows.device, generator=generator)
        return self.rows.index_select(0, ids)
