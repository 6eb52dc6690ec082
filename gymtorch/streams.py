"""Run Warp kernels in order with torch's.

Warp and torch launch on streams of their own, which the GPU may run in any order. Inside :func:`torch_stream_as_warp`
Warp launches on torch's current stream instead, so the two take turns without synchronising, and a torch CUDA graph
records Warp's kernels as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_stream_as_warp(device: torch.device | str) -> Iterator[None]:
    """Let Warp launch on torch's current stream of ``device`` within the block; does nothing for the CPU.

    May be used while torch records a CUDA graph (:func:`gymtorch.capture`). Warp must not allocate in the block then,
    unless its memory pool is enabled.

    Raises:
        ImportError: on a GPU without Warp.
    """
    device = torch.device(device)
    if device.type != "cuda":
        yield
        return
    import warp

    stream = torch.cuda.current_stream(device)
    with torch.cuda.device(device):
        recording = torch.cuda.is_current_stream_capturing()
    warp_stream = warp.stream_from_torch(stream)
    if not recording:
        with warp.ScopedStream(warp_stream, sync_enter=True, sync_exit=True):
            yield
        return
    # Waiting for Warp's usual stream would break the recording: that stream is not part of it.
    with warp.ScopedStream(warp_stream, sync_enter=False), warp.ScopedCapture(stream=warp_stream, external=True):
        yield
