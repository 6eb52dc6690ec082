"""Lists of environments without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor


def listed(mask: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """The first ``room`` true places of ``mask`` (N,) bool, in order.

    On a CPU the list is as long as there are; elsewhere shapes must be fixed: it has ``room`` elements, 0 behind the
    last. Nothing waits for the device, so this can be compiled and captured.

    Returns:
        Places (K,) int64, and whether each is one (K,) bool.
    """
    if mask.device.type == "cpu":
        found = mask.nonzero().squeeze(1)[:room]
        return found, torch.ones(len(found), dtype=torch.bool)
    return listed_in_fixed_size(mask, room)


def listed_in_fixed_size(mask: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """:func:`listed` as it is on a GPU."""
    rank = mask.cumsum(0, dtype=torch.int32)
    slot = torch.where(mask, (rank - 1).clamp_max(room), room).long()  # the last slot takes what is not wanted
    places = torch.zeros(room + 1, dtype=torch.long, device=mask.device)
    places.index_copy_(0, slot, torch.arange(len(mask), device=mask.device))
    valid = torch.arange(room, device=mask.device) < rank[-1]
    return torch.where(valid, places[:room], 0), valid
