"""A policy as rollouts play it: with weights already in the precision that they are multiplied in."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from puffer_phc.policies.actor_critic import ALIGNED, ActorCritic, AlignedLinear, Trunk


class Player:
    """Copies the weights of ``original`` once for each rollout, filled up and halved, instead of at every step.

    The same numbers as autocast makes of them. On a CPU, and for policies of several agents, nothing is copied.

    Attributes:
        policy: to be played; not to be trained or saved.
    """

    def __init__(self, original: ActorCritic) -> None:
        self._copies: list[Tensor] = []
        self._originals: list[Tensor] = []
        self.policy = original
        if type(original) is not ActorCritic or original.log_std.device.type != "cuda":
            return
        self.policy = copy.deepcopy(original).requires_grad_(False)
        _fill_up(self.policy.actor, torch.float16 if original.actor_in_fp16 else torch.float32)
        _fill_up(self.policy.critic, torch.bfloat16)
        self.policy.mean_head = FilledLinear(self.policy.mean_head, torch.float32)
        self._copies, self._originals = _tensors(self.policy), _tensors(original)

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the weights as they are now."""
        if self._copies:
            torch._foreach_copy_(self._copies, self._originals)


class FilledLinear(nn.Linear):
    """What :class:`AlignedLinear` multiplies on a GPU, filled up with zeros once instead of at every call."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        self._inputs, self._outputs = layer.in_features, layer.out_features
        wide, high = self._inputs + -self._inputs % ALIGNED, self._outputs + -self._outputs % ALIGNED
        super().__init__(wide, high, device=layer.weight.device, dtype=dtype)
        self.requires_grad_(False).weight.zero_()
        self.bias.zero_()
        for corner, own in zip(self.corners(), (layer.weight, layer.bias), strict=True):
            corner.copy_(own.detach())

    def forward(self, features: Tensor) -> Tensor:
        """(..., outputs) of (..., inputs)."""
        filled = pad(features, (0, self.in_features - self._inputs))
        return super().forward(filled)[..., : self._outputs]

    def corners(self) -> list[Tensor]:
        """Where the weight and the bias are that the layer stands for."""
        return [self.weight[: self._outputs, : self._inputs], self.bias[: self._outputs]]


def _fill_up(trunk: Trunk, dtype: torch.dtype) -> None:
    """Its matrix products in ``dtype`` and whole eights; a LayerNorm stays in float32, as under autocast."""
    for index, layer in enumerate(trunk.mlp):
        if isinstance(layer, AlignedLinear):
            trunk.mlp[index] = FilledLinear(layer, dtype)


def _tensors(module: nn.Module) -> list[Tensor]:
    """All parameters and buffers, in the order of the modules, those of a filled layer as they were given."""
    if isinstance(module, FilledLinear):
        return module.corners()
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return own + [tensor for child in module.children() for tensor in _tensors(child)]
