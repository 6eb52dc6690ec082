"""The environment: N humanoids, each following a clip of the motion library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gymtorch import fused, latch
from puffer_phc.envs.observations import observation
from puffer_phc.envs.rewards import TERM_NAMES, RewardConfig, imitation_reward, power_penalty
from puffer_phc.envs.terminations import tracking_lost
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.sampler import MotionSampler, SamplingConfig
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState, write_rows
from puffer_phc.simulation.simulator import Simulator

TIME_SLACK = 1e-2
"""Part of a control step by which a clip may end early: times are float32, and its end a multiple only nominally."""

ActionMode = Literal["reference", "absolute"]
StateInit = Literal["random", "start"]


@dataclass(frozen=True)
class TaskConfig:
    """Action map, episode start and failure test.

    Attributes:
        action_mode: ``reference`` adds the action to the reference's joint pose; ``absolute`` is PHC's, the action
            spans each joint's whole range.
        action_scale: rad per unit of action in ``reference`` mode.
        action_lead: control steps that the reference pose of ``reference`` mode runs ahead; makes up for the lag of
            the joint servos.
        state_init: ``random`` starts anywhere in a clip, ``start`` at its first frame.
        termination_distance: m; an episode has failed when any body is further than this from the reference.
        grace_steps: control steps after a reset without failure test.
    """

    action_mode: ActionMode = "reference"
    action_scale: float = 1.0
    action_lead: float = 2.0
    state_init: StateInit = "random"
    termination_distance: float = 0.25
    grace_steps: int = 1


class HumanoidPHC:
    """A flat, batched motion-tracking environment; see ``docs/environment.md``.

    All tensors have the environments first and live on the simulator's device. ``step`` resets finished environments
    by itself; the observation that such an episode ended with is in ``final_obs``.

    Attributes:
        num_envs: N.
        num_obs: 934 for the SMPL body.
        num_actions: D.
        obs: (N, num_obs) observation of the current state.
        final_obs: (N, num_obs), rows of truncated environments hold the last observation of the ended episode.
        reward: (N,).
        reward_terms: (N, 5) unweighted imitation terms and the power penalty.
        terminated: (N,) bool, the attempt failed.
        truncated: (N,) bool, the clip was followed to its end.
        clip_ids, progress, start_time: (N,) the running episode: clip, control steps done, s into the clip.
        episode_return, episode_length: (N,) of the running episode; where ``done``, of the ended one.
    """

    def __init__(
        self,
        robot: Robot,
        simulator: Simulator,
        library: MotionLibrary,
        control_dt: float,
        task: TaskConfig | None = None,
        reward: RewardConfig | None = None,
        sampling: SamplingConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.robot, self.simulator, self.library, self.control_dt = robot, simulator, library, control_dt
        self.task, self.reward_config = task or TaskConfig(), reward or RewardConfig()
        self.device, self.num_envs = simulator.device, simulator.num_envs
        self.generator = torch.Generator(device=self.device).manual_seed(seed)
        self.sampler = MotionSampler(library, sampling or SamplingConfig(), self.generator)
        self.num_actions = robot.num_dofs
        self.num_obs = 39 * robot.num_bodies - 2
        self._action_scale = robot.action_scale.to(self.device)
        self._movable = (~robot.frozen_dofs).to(device=self.device, dtype=torch.float32)
        self._command = fused(self._before_physics, self.device)
        self._advance = fused(self._after_physics, self.device)
        self._reference = BodyState(*(torch.empty(0) for _ in BodyState._fields))  # looked up by the first reset
        self._allocate()

    def _allocate(self) -> None:
        envs, device = self.num_envs, self.device
        self.obs = torch.zeros(envs, self.num_obs, device=device)
        self.final_obs = torch.zeros(envs, self.num_obs, device=device)
        self.reward = torch.zeros(envs, device=device)
        self.reward_terms = torch.zeros(envs, len(TERM_NAMES) + 1, device=device)
        self.terminated = torch.zeros(envs, dtype=torch.bool, device=device)
        self.truncated = torch.zeros(envs, dtype=torch.bool, device=device)
        self.clip_ids = torch.zeros(envs, dtype=torch.long, device=device)
        self.progress = torch.zeros(envs, dtype=torch.long, device=device)
        self.start_time = torch.zeros(envs, device=device)
        self.episode_return = torch.zeros(envs, device=device)
        self.episode_length = torch.zeros(envs, dtype=torch.long, device=device)
        self.divergences = torch.zeros((), dtype=torch.long, device=device)
        self._luck = torch.zeros(3, envs, device=device)

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

    # -- parts of a step: everything before and after physics, each compiled as a whole on a GPU ---------------------

    def _before_physics(self, action: Tensor) -> Tensor:
        self._clear(self._select(self.done))
        return self.pd_target(action)

    def _after_physics(self) -> None:
        self.simulator.read()
        self.progress += 1
        bodies, reference = self.simulator.bodies, self._reference  # looked up one step ahead, so it is current now
        self._score(bodies, reference)
        self._judge(bodies, reference)
        self.sampler.record(self.clip_ids, self.time(), self.terminated)
        self._keep_final_observation(bodies)
        self._start_episodes(self._select(self.done))
        self._observe()

    def pd_target(self, action: Tensor) -> Tensor:
        """Joint targets (N, D) rad of actions (N, D)."""
        action = action.clamp(-1.0, 1.0)
        if self.task.action_mode == "absolute":
            return self._action_scale * action * self._movable
        ahead = self.library.dof_pos_at(self.clip_ids, self.time(self.task.action_lead))
        return ahead + self.task.action_scale * action

    def time(self, steps_ahead: float = 0.0) -> Tensor:
        """Seconds (N,) into each clip, ``steps_ahead`` control steps from now."""
        return self.start_time + (self.progress + steps_ahead) * self.control_dt

    def _observe(self) -> Tensor:
        """Look the reference up one step ahead and observe it."""
        self._reference = latch(self._reference, self.library.bodies_at(self.clip_ids, self.time(1)))
        self.obs = latch(self.obs, observation(self.simulator.bodies, self._reference))
        return self.obs

    def _score(self, bodies: BodyState, reference: BodyState) -> None:
        cfg = self.reward_config
        imitation, terms = imitation_reward(*bodies, *reference, cfg)
        power = power_penalty(self.simulator.dof_force, self.simulator.dof_vel, cfg.power_coef)
        power = torch.where(self.progress > cfg.power_grace_steps, power, 0.0)
        # A humanoid whose simulation diverged may have any state at all; its failure is told by `terminated`.
        self.reward.copy_(torch.where(self.simulator.diverged, 0.0, imitation + power))
        all_terms = torch.cat((terms, power[:, None]), dim=1)
        self.reward_terms.copy_(torch.where(self.simulator.diverged[:, None], 0.0, all_terms))
        self.episode_return += self.reward
        self.episode_length += 1

    def _judge(self, bodies: BodyState, reference: BodyState) -> None:
        lost = tracking_lost(bodies.pos, reference.pos, self.task.termination_distance)
        diverged = self.simulator.diverged
        self.divergences += diverged.sum()
        self.terminated.copy_(lost & (self.progress > self.task.grace_steps) | diverged)
        ended = self.time() >= self.library.duration[self.clip_ids] - TIME_SLACK * self.control_dt
        self.truncated.copy_(ended & ~self.terminated)

    def _keep_final_observation(self, bodies: BodyState) -> None:
        """Observe truncated environments before their reset: the value bootstraps from there."""
        ids = self._select(self.truncated)
        if ids.dtype == torch.bool:
            self.final_obs.copy_(observation(bodies, self.library.bodies_at(self.clip_ids, self.time(1))))
        elif len(ids):
            upcoming = self.library.bodies_at(self.clip_ids[ids], self.time(1)[ids])
            self.final_obs[ids] = observation(bodies.rows(ids), upcoming)

    def _select(self, mask: Tensor) -> Tensor:
        """The environments of ``mask`` as a list where that is cheap; a GPU keeps the mask and its fixed shapes."""
        return mask.nonzero().squeeze(1) if self.device.type == "cpu" else mask

    def _start_episodes(self, which: Tensor) -> None:
        """Put the environments ``which`` on a moment of a clip, exactly as the reference is there."""
        if not len(which):
            return
        # Each environment has luck of its own, so that a mask and a list of the same environments do the same.
        clip_ids, start = self.sampler.sample(self._luck if which.dtype == torch.bool else self._luck[:, which])
        start = torch.floor(start / self.control_dt) * self.control_dt
        if self.task.state_init == "start":
            start = torch.zeros_like(start)
        self._place(which, clip_ids, start)

    def _place(self, which: Tensor, clip_ids: Tensor, start: Tensor) -> None:
        write_rows(self.clip_ids, which, clip_ids)
        write_rows(self.start_time, which, start)
        write_rows(self.progress, which, torch.zeros_like(clip_ids))
        self.simulator.reset(which, self.library.state_at(clip_ids, start))

    def _clear(self, which: Tensor) -> None:
        write_rows(self.episode_return, which, self.reward.new_zeros(len(which)))
        write_rows(self.episode_length, which, self.progress.new_zeros(len(which)))

    # -- evaluation ------------------------------------------------------------------------------------------------

    def play_clips(self, clip_ids: Tensor) -> Tensor:
        """Put every environment on the first frame of its clip (N,); returns ``obs``."""
        everyone = torch.arange(self.num_envs, device=self.device)
        self._place(everyone, clip_ids, torch.zeros(self.num_envs, device=self.device))
        self._clear(everyone)
        return self._observe()

    def track(self, action: Tensor) -> tuple[BodyState, BodyState]:
        """One control step without judging or resetting anything: simulated and reference bodies after it."""
        self.simulator.step(self.pd_target(action))
        self.progress += 1
        reference = BodyState(*(tensor.clone() for tensor in self._reference))  # observing moves it one step ahead
        self._observe()
        return self.simulator.bodies, reference
