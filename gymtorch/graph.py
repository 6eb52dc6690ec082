"""Run a fixed piece of GPU work as one CUDA graph.

A simulation step is hundreds of small kernels whose launching costs more than their running. Recorded once and replayed
as a graph, they cost one launch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class CapturedFunction(Generic[Result]):
    """A function of static buffers, recorded as a CUDA graph; on other devices the plain function.

    Made by :func:`capture`, which says what the function must be like. Calling it runs the work once and returns what
    the function returned. Under a graph these are the very tensors of the recording, overwritten by each call: clone
    what must outlive the next call.
    """

    def __init__(self, fn: Callable[[], Result], graph: torch.cuda.CUDAGraph | None, result: Result | None) -> None:
        self._fn = fn
        self._graph = graph
        self._result = result

    @property
    def captured(self) -> bool:
        """Whether calls replay a CUDA graph rather than run the function."""
        return self._graph is not None

    def __call__(self) -> Result:
        """Run the work once on the current stream."""
        if self._graph is None:
            return self._fn()
        self._graph.replay()
        return self._result  # type: ignore[return-value]  # set whenever the graph is


def capture(
    fn: Callable[[], Result],
    warmup: int = 3,
    *,
    device: torch.device | str,
    state: Sequence[Tensor] = (),
    generators: Sequence[torch.Generator] = (),
) -> CapturedFunction[Result]:
    """Record ``fn`` as a CUDA graph when ``device`` is a GPU; otherwise arrange to call it as it is.

    ``fn`` takes no arguments and reads its inputs from tensors that stay where they are; write new inputs into them
    (``buffer.copy_(...)``) before a call. It must do the same operations on the same shapes each time, without
    synchronising (``.item()``, ``.cpu()``, ``nonzero()``), and every Python value in it is frozen at recording.

    Args:
        fn: the work. It runs ``warmup`` times before the recording (so that libraries allocate and compile what they
            need) and not at all on other devices.
        warmup: how many times, at least 1.
        device: where the work runs. Not guessed: recording CPU work on a GPU machine would record nothing.
        state: tensors that ``fn`` changes. They are put back after the warm-up, so that making the graph leaves no
            trace and the first call sees the same state on every device.
        generators: random generators other than torch's own that ``fn`` draws from. Random draws go on from call to
            call; the warm-up draws are not undone.

    Raises:
        ValueError: when ``warmup`` is below 1.
        RuntimeError: from CUDA, when ``fn`` does something that cannot be recorded.
    """
    if warmup < 1:
        raise ValueError(f"warmup must be at least 1, not {warmup}: work run first while recording may fail")
    device = torch.device(device)
    if device.type != "cuda":
        return CapturedFunction(fn, None, None)
    with torch.cuda.device(device):
        _warm_up(fn, warmup, state)
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            result = fn()
    return CapturedFunction(fn, graph, result)


def _warm_up(fn: Callable[[], object], times: int, state: Sequence[Tensor]) -> None:
    """Run ``fn`` on a side stream, as recording will, and put ``state`` back."""
    saved = [tensor.detach().clone() for tensor in state]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(times):
            fn()
    torch.cuda.current_stream().wait_stream(stream)
    with torch.no_grad():
        for tensor, before in zip(state, saved, strict=True):
            tensor.copy_(before)
