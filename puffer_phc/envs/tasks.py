"""What a task is: what the policy sees, what it is rewarded for, and when an attempt is over."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from puffer_phc.robots.state import BodyState


class Task(Protocol):
    """One way to use the humanoids of a :class:`puffer_phc.envs.scene.Scene`.

    All methods are called once per control step, in this order: ``score``, ``failed``, ``finished``, ``final`` on what
    the step led to; then ``restarted`` and ``observe``, after the humanoids of ended episodes have been placed anew.
    On a GPU they are compiled together, so shapes are fixed, nothing waits for the device, and what a method keeps for
    the next step goes through :func:`gymtorch.latch` or is written in place.

    Attributes:
        num_obs: O.
        term_names: names of the K terms that ``score`` gives beside the reward.
        num_draws: R, random numbers that ``restarted`` gets for each humanoid.
        cut_together: whether episodes that began together are cut together, after so many steps.
    """

    num_obs: int
    term_names: tuple[str, ...]
    num_draws: int
    cut_together: bool

    @property
    def reference(self) -> BodyState | None:
        """Bodies that the humanoids should be at now; None for a task without any."""
        ...

    def score(self) -> tuple[Tensor, Tensor]:
        """Reward (N,) and its terms (N, K). Where the simulation diverged, they may be anything."""
        ...

    def failed(self) -> Tensor:
        """(N,) bool: the attempt is lost. Divergence counts anyway."""
        ...

    def finished(self) -> Tensor:
        """(N,) bool: the episode is over without being lost."""
        ...

    def final(self, which: Tensor) -> Tensor:
        """Observations (K, O) that end the episodes of the environments ``which`` (K,) int64."""
        ...

    def restarted(self, which: Tensor, luck: Tensor) -> None:
        """The humanoids ``which``, a mask or a list, begin an episode; ``luck`` is (R, N), uniform in [0, 1)."""
        ...

    def observe(self) -> Tensor:
        """Observation (N, O) of the present state."""
        ...


@runtime_checkable
class CompletableTask(Task, Protocol):
    """A task whose episodes may be over because nothing is left to do, not only because their time is."""

    def succeeded(self) -> Tensor:
        """(N,) bool: nothing is left to do. Called after ``finished``, and counts only where that is true.

        What lies beyond such an end is worth nothing, while an episode that only its time ended would have gone on.
        """
        ...
