"""State that lives across replays of a CUDA graph."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

State = TypeVar("State", bound="Tensor | tuple[Tensor, ...]")


def latch(own: State | None, new: State) -> State:
    """The tensor (or named tuple of tensors) to keep as state: ``new``, at the address that ``own`` has on a GPU.

    A recorded graph reads and writes fixed addresses, so what one replay leaves for the next must stay in place:
    there ``new`` is copied into ``own``. On a CPU, where nothing is recorded, ``new`` itself is the state, uncopied.

    Args:
        own: the present state, or None the first time.
        new: the next state, of the same shapes.
    """
    if isinstance(new, Tensor):
        if not isinstance(own, Tensor) or own is new or not new.is_cuda or own.shape != new.shape:
            return new
        own.copy_(new)
        return own
    parts = own if isinstance(own, tuple) else (None,) * len(new)
    kept = [latch(mine, theirs) for mine, theirs in zip(parts, new, strict=True)]
    return type(new)(*kept)
