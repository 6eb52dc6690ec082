"""Matrix-product precision of the networks, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def network_precision() -> Iterator[None]:
    """Let matrix products use TF32 on a GPU that has it.

    Off elsewhere: kinematics also multiplies matrices, and there TF32 would cost tenths of a millimetre.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
