"""Generalised advantage estimation."""

from __future__ import annotations

import torch
from torch import Tensor


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    gae_lambda: float,
) -> tuple[Tensor, Tensor]:
    """Advantages and value targets of a rollout of T steps in N environments, each column on its own.

    ``delta_t = r_t + gamma V(s'_t) (1 - terminated_t) - V(s_t)`` where ``s'_t`` is the state that step t really led to:
    the next row's state, the last state of a truncated episode (whose value is bootstrapped), or the state after the
    rollout. Nothing flows backwards over the end of an episode, however it ended.

    Args:
        rewards: (T, N) of step t.
        values: (T, N), V of the state that step t started from.
        next_values: (T, N), V of the state that step t led to; ignored where terminated.
        terminated: (T, N) bool, step t ended in failure.
        truncated: (T, N) bool, step t ended by the clock.
        gamma: discount.
        gae_lambda: weight of longer returns.

    Returns:
        Advantages (T, N) and targets ``advantages + values`` (T, N).
    """
    delta = rewards + gamma * next_values.masked_fill(terminated, 0.0) - values
    carry = gamma * gae_lambda * (~(terminated | truncated)).to(rewards.dtype)
    advantages = torch.empty_like(rewards)
    running = torch.zeros_like(rewards[0])
    for step in reversed(range(rewards.shape[0])):
        running = delta[step] + carry[step] * running
        advantages[step] = running
    return advantages, advantages + values
