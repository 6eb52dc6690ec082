"""A task whose only reward is that the attempt goes on."""

from __future__ import annotations

import torch
from torch import Tensor

from puffer_phc.envs.tasks import Task
from puffer_phc.robots.state import BodyState


class SurvivalTask:
    """``task`` with a reward of 1 per step; see :class:`puffer_phc.envs.tasks.Task`."""

    term_names: tuple[str, ...] = ("survival",)

    def __init__(self, task: Task, num_envs: int, device: torch.device) -> None:
        self._task = task
        self.num_obs, self.num_draws, self.cut_together = task.num_obs, task.num_draws, task.cut_together
        self._one = torch.ones(num_envs, device=device)

    @property
    def reference(self) -> BodyState | None:
        """The task's."""
        return self._task.reference

    def score(self) -> tuple[Tensor, Tensor]:
        """1, and the same as its only term."""
        return self._one, self._one[:, None]

    def failed(self) -> Tensor:
        """As the task says."""
        return self._task.failed()

    def finished(self) -> Tensor:
        """As the task says."""
        return self._task.finished()

    def final(self, which: Tensor) -> Tensor:
        """As the task says."""
        return self._task.final(which)

    def restarted(self, which: Tensor, luck: Tensor) -> None:
        """As the task does."""
        self._task.restarted(which, luck)

    def observe(self) -> Tensor:
        """What the task shows."""
        return self._task.observe()
