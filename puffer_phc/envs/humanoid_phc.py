"""The environment: N humanoids, each with a clip of the motion library and a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gymtorch import fused, latch, listed
from puffer_phc.envs.actions import ActionMap
from puffer_phc.envs.scene import Scene
from puffer_phc.envs.style_history import StyleHistory
from puffer_phc.envs.tasks import CompletableTask, Task
from puffer_phc.motions.sampler import MotionSampler, SamplingConfig
from puffer_phc.robots.state import BodyState, MotionState, write_rows

StateInit = Literal["random", "start", "default", "hybrid"]
_FEW = 256  # last observations that a step of many environments has room for, at least


@dataclass(frozen=True)
class EpisodeConfig:
    """How an episode starts.

    Attributes:
        state_init: ``random`` starts anywhere in a clip, ``start`` at its first frame; tasks without a reference may
            also start from ``default``, standing still, or ``hybrid``, some so and the others anywhere.
        default_share: share of ``hybrid`` starts that stand still.
    """

    state_init: StateInit = "random"
    default_share: float = 0.5


class HumanoidPHC:
    """A flat, batched environment; see ``docs/environment.md``.

    All tensors have the environments first and live on the simulator's device. ``step`` resets finished environments
    by itself; the observation that such an episode ended with is in ``final_obs``.

    Attributes:
        scene: the humanoids and their running episodes; its parts are attributes here too.
        task: what is observed and rewarded.
        actions: what actions mean.
        style: what a discriminator of motions sees, or None.
        num_envs: N.
        num_obs: O, 934 for tracking with the SMPL body.
        num_actions: D.
        obs: (N, O) observation of the current state.
        final_obs: (N, O), rows of truncated environments hold the last observation of the ended episode.
        final_of_failures: whether those of terminated ones do, too. Learning has no use for them, Gymnasium shows them.
        reward: (N,).
        reward_terms: (N, K) the task's terms.
        terminated: (N,) bool, the attempt failed.
        truncated: (N,) bool, the episode was over without that: in tracking, the clip was followed to its end.
        succeeded: (N,) bool, of these, where all was done that there was to do, so that no value lies beyond.
        clip_ids, progress, start_time: (N,) the running episode: clip, control steps done, s into the clip.
        episode_return, episode_length: (N,) of the running episode; where ``done``, of the ended one.
        divergences: () int64, simulations that diverged so far.
    """

    def __init__(
        self,
        scene: Scene,
        task: Task,
        actions: ActionMap,
        episodes: EpisodeConfig | None = None,
        sampling: SamplingConfig | None = None,
        seed: int = 0,
        style: StyleHistory | None = None,
    ) -> None:
        self.style = style
        self.scene, self.task, self.actions, self.episodes = scene, task, actions, episodes or EpisodeConfig()
        self.robot, self.simulator, self.library = scene.robot, scene.simulator, scene.library
        self.control_dt, self.device, self.num_envs = scene.control_dt, scene.device, scene.num_envs
        self.clip_ids, self.progress, self.start_time = scene.clip_ids, scene.progress, scene.start_time
        self.generator = torch.Generator(device=self.device).manual_seed(seed)
        self.sampler = MotionSampler(self.library, sampling or SamplingConfig(), self.generator)
        self.num_obs, self.num_actions = task.num_obs, self.robot.num_dofs
        self._completable = task if isinstance(task, CompletableTask) else None
        self._command = fused(self._before_physics, self.device)
        self._advance = fused(self._after_physics, self.device)
        self._allocate()

    def _allocate(self) -> None:
        envs, device = self.num_envs, self.device
        self.obs = torch.zeros(envs, self.num_obs, device=device)
        self.final_obs = torch.zeros(envs, self.num_obs, device=device)
        self.final_of_failures = False
        self.reward = torch.zeros(envs, device=device)
        self.reward_terms = torch.zeros(envs, len(self.task.term_names), device=device)
        self.terminated = torch.zeros(envs, dtype=torch.bool, device=device)
        self.truncated = torch.zeros(envs, dtype=torch.bool, device=device)
        self.succeeded = torch.zeros(envs, dtype=torch.bool, device=device)
        self.episode_return = torch.zeros(envs, device=device)
        self.episode_length = torch.zeros(envs, dtype=torch.long, device=device)
        self.divergences = torch.zeros((), dtype=torch.long, device=device)
        hybrid = self.episodes.state_init == "hybrid"
        self._luck = torch.zeros(MotionSampler.num_draws + self.task.num_draws + hybrid, envs, device=device)
        self._default = self.robot.default_state(device) if hybrid or self.episodes.state_init == "default" else None

    # -- the two calls of an environment ---------------------------------------------------------------------------

    def reset(self) -> Tensor:
        """Start a new episode everywhere; returns ``obs``."""
        everyone = torch.arange(self.num_envs, device=self.device)
        self.sampler.draw(self._luck)
        self._start_episodes(everyone)
        self._clear(everyone)
        return self._observe()

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Apply actions (N, D), clipped to [-1, 1], for one control step.

        Returns:
            ``obs, reward, terminated, truncated``, the environment's own tensors, valid until the next call.
        """
        self.simulator.physics(self._command(action))
        self.sampler.draw(self._luck)
        self._advance()
        return self.obs, self.reward, self.terminated, self.truncated

    @property
    def done(self) -> Tensor:
        """(N,) bool: the last step ended an episode."""
        return self.terminated | self.truncated

    @property
    def final_room(self) -> int:
        """Of so many environments, the first by number, one step can keep last observations."""
        return self.num_envs if self.final_of_failures else self._room(8)

    # -- parts of a step: everything before and after physics, each compiled as a whole on a GPU ---------------------

    def _before_physics(self, action: Tensor) -> Tensor:
        self._clear(self._select(self.done))
        return self.actions(action)

    def _after_physics(self) -> None:
        self.simulator.read()
        self.progress += 1
        if self.style is not None:
            self.style.advance()
        self._score()
        self._judge()
        self.sampler.record(self.clip_ids, self.scene.clip_time(self.clip_ids, self.time()), self.terminated)
        self._keep_final_observation()
        self._start_episodes(self._select(self.done))
        self._observe()

    def time(self, steps_ahead: float = 0.0) -> Tensor:
        """Seconds (N,) into each clip, ``steps_ahead`` control steps from now."""
        return self.scene.time(steps_ahead)

    def _observe(self) -> Tensor:
        self.obs = latch(self.obs, self.task.observe())
        return self.obs

    def _score(self) -> None:
        reward, terms = self.task.score()
        # A humanoid whose simulation diverged may have any state at all; its failure is told by `terminated`.
        diverged = self.simulator.diverged
        self.reward.copy_(torch.where(diverged, 0.0, reward))
        self.reward_terms.copy_(torch.where(diverged[:, None], 0.0, terms))
        self.episode_return += self.reward
        self.episode_length += 1

    def _judge(self) -> None:
        diverged = self.simulator.diverged
        self.divergences += diverged.sum()
        self.terminated.copy_(self.task.failed() | diverged)
        self.truncated.copy_(self.task.finished() & ~self.terminated)
        if self._completable is not None:
            self.succeeded.copy_(self._completable.succeeded() & self.truncated)

    def _keep_final_observation(self) -> None:
        """Observe truncated environments before their reset: the value bootstraps from there."""
        which, _ = listed(self.done if self.final_of_failures else self.truncated, self.final_room)
        if len(which):  # what fills the list up is environment 0: the same row, over and over
            self.final_obs.index_copy_(0, which, self.task.final(which))

    def _room(self, part: int) -> int:
        """How many environments one step must have room for, if at most one in ``part`` ends at a time.

        All, where episodes that began together also end together.
        """
        together = self.task.cut_together or self.episodes.state_init != "random"
        return self.num_envs if together else min(self.num_envs, max(_FEW, self.num_envs // part))

    def _select(self, mask: Tensor) -> Tensor:
        """The environments of ``mask`` as a list where that is cheap; a GPU keeps the mask and its fixed shapes."""
        return mask.nonzero().squeeze(1) if self.device.type == "cpu" else mask

    def _start_episodes(self, which: Tensor) -> None:
        """Put the environments ``which`` on a moment of a clip, exactly as the reference is there."""
        if len(which):
            # Each environment has luck of its own, so that a mask and a list of the same environments do the same.
            luck = self._luck[: MotionSampler.num_draws]
            clip_ids, start = self.sampler.sample(luck if which.dtype == torch.bool else luck[:, which])
            start = torch.floor(start / self.control_dt) * self.control_dt
            if self.episodes.state_init == "start":
                start = torch.zeros_like(start)
            self._place(which, clip_ids, start, self._from_clip(which))
        self.task.restarted(which, self._luck[MotionSampler.num_draws :][: self.task.num_draws])

    def _from_clip(self, which: Tensor) -> Tensor | None:
        """For each of ``which``, whether it starts from its clip instead of standing still; None for all."""
        if self._default is None:
            return None
        if self.episodes.state_init == "default":
            return torch.zeros(len(which), dtype=torch.bool, device=self.device)
        return (self._luck[-1] if which.dtype == torch.bool else self._luck[-1, which]) >= self.episodes.default_share

    def _place(self, which: Tensor, clip_ids: Tensor, start: Tensor, from_clip: Tensor | None = None) -> None:
        write_rows(self.clip_ids, which, clip_ids)
        write_rows(self.start_time, which, start)
        write_rows(self.progress, which, torch.zeros_like(clip_ids))
        state = self.library.state_at(clip_ids, start, self.scene.on_frames)
        if from_clip is not None and self._default is not None:
            pairs = zip(state, self._default, strict=True)
            state = MotionState(*(torch.where(from_clip.view(-1, *[1] * (x.dim() - 1)), x, d) for x, d in pairs))
        self.simulator.reset(which, state)
        if self.style is not None:
            self.style.restart(which, from_clip, self._room(4) if which.dtype == torch.bool else 0)

    def _clear(self, which: Tensor) -> None:
        write_rows(self.episode_return, which, self.reward.new_zeros(len(which)))
        write_rows(self.episode_length, which, self.progress.new_zeros(len(which)))

    # -- evaluation ------------------------------------------------------------------------------------------------

    def play_clips(self, clip_ids: Tensor, start: Tensor | None = None) -> Tensor:
        """Put every environment on its clip (N,), at ``start`` (N,) s, whole control steps, or its first frame.

        Returns:
            ``obs``.
        """
        everyone = torch.arange(self.num_envs, device=self.device)
        self._place(everyone, clip_ids, torch.zeros(self.num_envs, device=self.device) if start is None else start)
        self._clear(everyone)
        return self._observe()

    def track(self, action: Tensor) -> tuple[BodyState, BodyState]:
        """One control step without judging or resetting anything: simulated and reference bodies after it.

        Raises:
            TypeError: the task has no reference.
        """
        if self.task.reference is None:
            raise TypeError("this task has no reference to track")
        self.simulator.step(self.actions(action))
        self.progress += 1
        reference = BodyState(*(tensor.clone() for tensor in self.task.reference))  # observing moves it one step ahead
        self._observe()
        return self.simulator.bodies, reference
