"""A policy as rollouts play it: with weights already in the precision that they are multiplied in."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from puffer_phc.policies.actor_critic import ActorCritic, Trunk


class Player:
    """Copies the weights of ``original`` once for each rollout, in half precision, instead of at every control step.

    The same numbers as autocast makes of them. On a CPU, and for policies of several agents, nothing is copied.

    Attributes:
        policy: to be played; not to be trained or saved.
    """

    def __init__(self, original: ActorCritic) -> None:
        self._copies, self._originals = [], []
        self.policy = original
        if type(original) is not ActorCritic or original.log_std.device.type != "cuda":
            return
        self.policy = copy.deepcopy(original).requires_grad_(False)
        if original.actor_in_fp16:
            _halve(self.policy.actor, torch.float16)
        _halve(self.policy.critic, torch.bfloat16)
        self._copies, self._originals = _tensors(self.policy), _tensors(original)

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the weights as they are now."""
        if self._copies:
            torch._foreach_copy_(self._copies, self._originals)


def _halve(trunk: Trunk, dtype: torch.dtype) -> None:
    """Only what autocast multiplies in ``dtype``: a LayerNorm stays in float32."""
    for layer in trunk.mlp:
        if isinstance(layer, nn.Linear):
            layer.to(dtype)


def _tensors(policy: ActorCritic) -> list[Tensor]:
    return [*policy.parameters(), *policy.buffers()]
