"""Compile pure tensor functions where that pays."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., object])


def fused(function: Function, device: torch.device) -> Function:
    """``function`` compiled into few kernels on a GPU, itself elsewhere.

    On a CPU the compiler would need a C++ toolchain and half a minute, for a gain that short runs never see.
    """
    if device.type != "cuda" or not has_triton():
        return function
    # One compilation per number of environments; a process that makes several environments needs a few.
    torch._dynamo.config.recompile_limit = 64
    # Its advice to allow TF32 everywhere is not for physics; networks do allow it.
    warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores")
    # Independent kernels run as one: most of an observation's are too short to fill a GPU.
    options: dict[str, str | int | bool | Callable[..., object]] = {"combo_kernels": True}
    return torch.compile(function, dynamic=False, fullgraph=True, options=options)  # type: ignore[return-value]


@functools.cache
def has_triton() -> bool:
    """Whether torch can compile for a GPU here."""
    from torch.utils import _triton

    return bool(_triton.has_triton())
