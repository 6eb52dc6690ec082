"""Gradient steps as CUDA graphs: their some two hundred kernels are launched at once.

A minibatch of 16,384 samples keeps an H200 busy for 4 ms; launching its kernels one by one from Python takes longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gymtorch import CapturedFunction, capture
from puffer_phc.training.distributed import World


class RecordedStep:
    """One gradient step, recorded when it is first called and replayed for inputs of the same shapes.

    On a CPU, and where it is not wanted, nothing is recorded. Several ranks average gradients and metrics as one
    message between two recordings: what computes gradients, and what applies them.

    Attributes:
        wanted: whether to record.
        inputs: the tensors that a replay reads, or None before the recording; write into them to save a copy.
    """

    def __init__(
        self,
        gradients: Callable[..., Tensor],
        apply: Callable[[Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        state: Callable[[], Sequence[Tensor]],
        device: torch.device,
        world: World | None = None,
    ) -> None:
        """Nothing is done yet. Neither function may wait for the device.

        Args:
            gradients: takes tensors, adds to the gradients of what ``optimizer`` trains and returns metrics (M,).
            apply: takes the metrics, steps ``optimizer`` and returns the metrics, completed.
            optimizer: of all that is trained.
            state: gives the tensors beside weights and the optimiser's that ``apply`` changes.
            device: of everything.
            world: the ranks whose gradients are averaged.
        """
        self._gradients, self._apply, self._optimizer, self._more_state = gradients, apply, optimizer, state
        self._device, self._world, self.wanted = device, world or World(), device.type == "cuda"
        self.inputs: list[Tensor] | None = None
        self._captured: list[CapturedFunction[Tensor]] = []  # the whole step, or until and from the message
        self._averaged: list[Tensor] = []  # the gradients that the latest message was made of

    def forget(self) -> None:
        """The optimiser's state is in other tensors now: record anew."""
        self.inputs, self._captured = None, []

    def fits(self, inputs: Sequence[Tensor]) -> bool:
        """Whether ``inputs`` have the shapes of the recording, or may become it."""
        return self.inputs is None or all(a.shape == b.shape for a, b in zip(self.inputs, inputs, strict=True))

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Do the step; the metrics of a replay hold until the next one."""
        if not self.wanted or not self.fits(inputs):
            return self._plainly(*inputs)
        if not self._captured:
            self._record(*inputs)
        assert self.inputs is not None
        for own, new in zip(self.inputs, inputs, strict=True):
            if own is not new:
                own.copy_(new)
        result = self._captured[0]()
        if self._world.size > 1:
            self._world.add_(result)
            result = self._captured[1]()
        return result

    def rehearse(self, *inputs: Tensor) -> None:
        """Compile, record and send what a step of such inputs does, without a trace: all state stays what it was."""
        if self.wanted:
            self._record(*inputs)
        else:
            self._compute(*inputs)
            self._optimizer.zero_grad(set_to_none=True)

    def _plainly(self, *inputs: Tensor) -> Tensor:
        if self._world.size == 1:
            return self._apply(self._compute(*inputs))
        message = self._message(*inputs)
        self._world.add_(message)
        return self._received(message)

    def _compute(self, *inputs: Tensor) -> Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        return self._gradients(*inputs)

    def _message(self, *inputs: Tensor) -> Tensor:
        """Metrics and all gradients in one row."""
        metrics = self._compute(*inputs)
        self._averaged = [weight.grad for weight in _weights(self._optimizer) if weight.grad is not None]
        return torch.cat([metrics, *(gradient.reshape(-1) for gradient in self._averaged)])

    def _received(self, message: Tensor) -> Tensor:
        """Apply the sum over ranks of :meth:`_message`."""
        sizes = [gradient.numel() for gradient in self._averaged]
        metrics, *parts = (message / self._world.size).split([message.numel() - sum(sizes), *sizes])
        views = [part.view_as(gradient) for part, gradient in zip(parts, self._averaged, strict=True)]
        torch._foreach_copy_(self._averaged, views)
        return self._apply(metrics)

    def _record(self, *inputs: Tensor) -> None:
        self.inputs = own = list(inputs)
        for group in self._optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = True
        state = [*_primed(self._optimizer), *self._more_state()]
        if self._world.size == 1:
            self._captured = [capture(lambda: self._plainly(*own), device=self._device, state=state)]
            return
        send = capture(lambda: self._message(*own), device=self._device)
        message = send()
        self._world.add_(message)  # the first message takes long
        self._captured = [send, capture(lambda: self._received(message), device=self._device, state=state)]


def _weights(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _primed(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Weights and the state of ``optimizer``, which is made if there is none: by a step that moves nothing."""
    weights = _weights(optimizer)
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
