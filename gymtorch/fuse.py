"""Compile pure tensor functions where that pays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., object])


def fused(function: Function, device: torch.device) -> Function:
    """``function`` compiled into few kernels on a GPU, itself elsewhere.

    On a CPU the compiler would need a C++ toolchain and half a minute, for a gain that short runs never see.
    """
    if device.type != "cuda" or not _has_triton():
        return function
    return torch.compile(function, dynamic=False, fullgraph=True)  # type: ignore[return-value]


@functools.cache
def _has_triton() -> bool:
    from torch.utils._triton import has_triton

    return bool(has_triton())
