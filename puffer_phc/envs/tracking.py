"""The task of PHC: be where the reference is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gymtorch import latch
from puffer_phc.envs.observations import observation
from puffer_phc.envs.rewards import TERM_NAMES, RewardConfig, imitation_reward, power_penalty
from puffer_phc.envs.scene import Scene
from puffer_phc.envs.terminations import Measure, tracking_lost
from puffer_phc.robots.state import BodyState


@dataclass(frozen=True)
class TrackingConfig:
    """When an attempt at tracking has failed.

    Attributes:
        termination_distance: m; an episode has failed when the humanoid is further than this from the reference.
        termination_measure: whether any body counts, or their mean, as in evaluation.
        grace_steps: control steps after a reset without failure test.
    """

    termination_distance: float = 0.25
    termination_measure: Measure = "any"
    grace_steps: int = 1


class TrackingTask:
    """See :class:`puffer_phc.envs.tasks.Task`. The reference is observed one control step ahead.

    Attributes:
        cfg, reward_config: options.
        num_obs: 934 for the SMPL body.
    """

    num_draws = 0
    cut_together = False  # but at the end of the clip, begun anywhere in it
    term_names: tuple[str, ...] = (*TERM_NAMES, "power")

    def __init__(self, scene: Scene, cfg: TrackingConfig, reward: RewardConfig) -> None:
        self.cfg, self.reward_config, self._scene = cfg, reward, scene
        self.num_obs = 39 * scene.robot.num_bodies - 2
        # Looked up one step ahead by `observe`, so it is current when the step has been done.
        self._reference = BodyState(*(torch.empty(0) for _ in BodyState._fields))

    @property
    def reference(self) -> BodyState:
        """The bodies that the last observation looked ahead to: after a control step, those of now."""
        return self._reference

    def score(self) -> tuple[Tensor, Tensor]:
        """PHC's imitation reward less the power of the joints."""
        cfg, scene = self.reward_config, self._scene
        imitation, terms = imitation_reward(*scene.bodies, *self._reference, cfg)
        power = power_penalty(scene.simulator.dof_force, scene.simulator.dof_vel, cfg.power_coef)
        power = torch.where(scene.progress > cfg.power_grace_steps, power, 0.0)
        return imitation + power, torch.cat((terms, power[:, None]), dim=1)

    def failed(self) -> Tensor:
        """Any body is too far away."""
        cfg, bodies = self.cfg, self._scene.bodies
        lost = tracking_lost(bodies.pos, self._reference.pos, cfg.termination_distance, cfg.termination_measure)
        return lost & (self._scene.progress > cfg.grace_steps)

    def finished(self) -> Tensor:
        """The clip was followed to its end."""
        return self._scene.clip_ended()

    def final(self, which: Tensor) -> Tensor:
        """What the policy would have seen next."""
        scene = self._scene
        clip_ids, time = scene.clip_ids, scene.time(1)
        return observation(scene.bodies.rows(which), scene.bodies_at(clip_ids[which], time[which]))

    def restarted(self, which: Tensor, luck: Tensor) -> None:
        """Nothing: the reference is all there is to follow."""

    def observe(self) -> Tensor:
        """The humanoids and the reference one step ahead."""
        scene = self._scene
        self._reference = latch(self._reference, scene.bodies_at(scene.clip_ids, scene.time(1)))
        return observation(scene.bodies, self._reference)
