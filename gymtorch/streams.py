"""Streams: Warp's kernels in order with torch's, and work beside the main stream.

Warp and torch launch on streams of their own, which the GPU may run in any order. Inside :func:`torch_stream_as_warp`
Warp launches on torch's current stream instead, so the two take turns without synchronising, and a torch CUDA graph
records Warp's kernels as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


class Aside:
    """Work that runs beside the main stream of a GPU; on a CPU, in between.

    Attributes:
        stream: where it runs; None on a CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def start(self, work: Callable[[], object]) -> None:
        """Do ``work`` after all that was asked of the main stream so far, but not before what follows there."""
        if self.stream is None:
            work()
            return
        self.stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self.stream):
            work()

    def join(self) -> None:
        """Let what follows on the main stream wait for the work."""
        if self.stream is not None:
            torch.cuda.current_stream(self._device).wait_stream(self.stream)
