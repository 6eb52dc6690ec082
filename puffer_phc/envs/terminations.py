"""When an attempt has failed, as pure functions."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Measure = Literal["any", "mean"]


def tracking_lost(body_pos: Tensor, ref_pos: Tensor, distance: float, reduce: Measure = "any") -> Tensor:
    """Whether (N,) bool the humanoid is too far from the reference.

    Args:
        body_pos, ref_pos: (N, B, 3) m, world; pass only the bodies that count.
        distance: m; more than this is too far.
        reduce: ``any`` body too far (PHC in training), or the ``mean`` distance over bodies (PHC in evaluation).

    Raises:
        ValueError: unknown ``reduce``.
    """
    error2 = (body_pos - ref_pos).square()
    x, y, z = error2.unbind(-1)
    if reduce == "any":
        return (x + y + z).amax(dim=-1) > distance * distance
    if reduce == "mean":
        return torch.sqrt(x + y + z).mean(dim=-1) > distance
    raise ValueError(f"reduce is {reduce!r}; use 'any' or 'mean'")
