"""Gradient steps as CUDA graphs: their some two hundred kernels are launched at once.

A minibatch of 16,384 samples keeps an H200 busy for 4 ms; launching its kernels one by one from Python takes longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gymtorch import CapturedFunction, capture


class RecordedStep:
    """One gradient step, recorded when it is first called and replayed for inputs of the same shapes.

    On a CPU, and where ``wanted`` is false, it is the plain step.

    Attributes:
        inputs: the tensors that a replay reads, or None before the recording; write into them to save a copy.
    """

    def __init__(
        self,
        step: Callable[..., Tensor],
        optimizer: torch.optim.Optimizer,
        state: Callable[[], Sequence[Tensor]],
        device: torch.device,
        wanted: bool = True,
    ) -> None:
        """Nothing is done yet.

        Args:
            step: takes tensors; computes gradients, applies them with ``optimizer`` and returns metrics, without ever
                waiting for the device.
            optimizer: of all that ``step`` trains.
            state: gives the tensors beside weights and the optimiser's that ``step`` changes.
            device: of everything.
            wanted: whether to record.
        """
        self._step, self._optimizer, self._more_state = step, optimizer, state
        self._device, self.wanted = device, wanted and device.type == "cuda"
        self.inputs: list[Tensor] | None = None
        self._captured: CapturedFunction[Tensor] | None = None

    def forget(self) -> None:
        """The optimiser's state is in other tensors now: record anew."""
        self.inputs, self._captured = None, None

    def fits(self, inputs: Sequence[Tensor]) -> bool:
        """Whether ``inputs`` have the shapes of the recording, or may become it."""
        return self.inputs is None or all(a.shape == b.shape for a, b in zip(self.inputs, inputs, strict=True))

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Do the step; the metrics of a replay hold until the next one."""
        if not self.wanted or not self.fits(inputs):
            return self._step(*inputs)
        if self._captured is None:
            self.record(*inputs)
        assert self.inputs is not None
        assert self._captured is not None
        for own, new in zip(self.inputs, inputs, strict=True):
            if own is not new:
                own.copy_(new)
        return self._captured()

    def record(self, *inputs: Tensor) -> None:
        """Record without a trace: weights and all other state are afterwards what they were."""
        if not self.wanted:
            return
        self.inputs = list(inputs)
        own = self.inputs
        for group in self._optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = True
        state = [*_primed(self._optimizer), *self._more_state()]
        self._captured = capture(lambda: self._step(*own), device=self._device, state=state)


def _primed(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Weights and the state of ``optimizer``, which is made if there is none: by a step that moves nothing."""
    weights: list[Tensor] = [weight for group in optimizer.param_groups for weight in group["params"]]
    if not optimizer.state:
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
        for state in optimizer.state.values():
            if "step" in state:
                state["step"].zero_()
        optimizer.zero_grad(set_to_none=True)
    made = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return weights + made
