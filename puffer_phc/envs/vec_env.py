"""What the learner asks of an environment, and nothing more."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from puffer_phc.envs.style_history import StyleHistory
from puffer_phc.envs.tasks import Task
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.sampler import MotionSampler
from puffer_phc.robots.robot import Robot
from puffer_phc.simulation.simulator import Simulator


class VecEnv(Protocol):
    """N environments that step together on one device and reset themselves.

    The tensors are the environment's own and hold until the next call. After the end of an episode ``obs`` is already
    the first of the next one; ``final_obs`` keeps the last of an episode that was cut short.

    Attributes:
        num_envs, num_obs, num_actions: N, O, A.
        device: where all tensors live.
        generator: of everything random in the environment.
        obs, final_obs: (N, O).
        final_room: of so many environments, the first by number, one step can keep ``final_obs``.
        reward: (N,), what the learner maximises.
        reward_terms: (N, K), for the log.
        terminated, truncated: (N,) bool.
        succeeded: (N,) bool, of the truncated ones, those beyond whose end lies no value.
        episode_return, episode_length: (N,) of the running episode; where ``done``, of the ended one.
    """

    num_envs: int
    num_obs: int
    num_actions: int
    device: torch.device
    generator: torch.Generator
    obs: Tensor
    final_obs: Tensor
    reward: Tensor
    reward_terms: Tensor
    terminated: Tensor
    truncated: Tensor
    succeeded: Tensor
    episode_return: Tensor
    episode_length: Tensor

    @property
    def sampler(self) -> MotionSampler | None:
        """Draws where episodes start and learns from failures; None where there is nothing to choose."""
        ...

    @property
    def final_room(self) -> int:
        """See above."""
        ...

    @property
    def done(self) -> Tensor:
        """(N,) bool: the last step ended an episode."""
        ...

    def reset(self) -> Tensor:
        """Start a new episode everywhere; returns ``obs``."""
        ...

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Apply actions (N, A), clipped to [-1, 1]; returns ``obs, reward, terminated, truncated``."""
        ...


class HumanoidEnv(VecEnv, Protocol):
    """What the trainer asks beside: whose body it is, what it follows, and how its simulation fares."""

    robot: Robot
    simulator: Simulator
    library: MotionLibrary
    task: Task
    style: StyleHistory | None
    divergences: Tensor

    @property
    def sampler(self) -> MotionSampler:
        """Draws where episodes start and learns from failures."""
        ...


def generators_of(env: VecEnv) -> tuple[torch.Generator, ...]:
    """All that is random in ``env``: its generator, and those of a partner who acts in it, if there is one."""
    return (env.generator, *getattr(env, "other_generators", ()))
