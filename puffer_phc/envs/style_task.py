"""The task of AMP: move in the style of the recordings, without following any of them, and reach a goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from puffer_phc.envs.falls import fallen, toppled, untouchables
from puffer_phc.envs.goals import GoalConfig, make_goal
from puffer_phc.envs.scene import Scene
from puffer_phc.envs.style_history import StyleHistory
from puffer_phc.robots.state import BodyState


@dataclass(frozen=True)
class StyleTaskConfig(GoalConfig):
    """Goal, length and failure of an attempt that follows no reference.

    Attributes:
        episode_steps: control steps of an episode.
        fall: contact: a body other than a foot touches the floor while one is below fall_height (HumanoidAMP);
            pose: the root leaves the robot's range of heights or tilts further than fall_tilt (the G1's); never.
        fall_height: m.
        fall_tilt: rad of roll or pitch.
    """

    episode_steps: int = 300
    fall: Literal["contact", "pose", "never"] = "contact"
    fall_height: float = 0.5
    fall_tilt: float = 0.8


class StyleTask:
    """See :class:`puffer_phc.envs.tasks.Task`. The policy sees the present step of the style, and the goal.

    Attributes:
        cfg: options.
        num_obs: 105 for the 28-dof humanoid, 74 for a G1 of 23 hinges, plus what is seen of the goal.
        goal: (N, W) what is asked of each humanoid.
    """

    cut_together = True

    def __init__(self, scene: Scene, style: StyleHistory, cfg: StyleTaskConfig) -> None:
        self.cfg, self._scene, self._style, self._goal = cfg, scene, style, make_goal(cfg)
        self.num_obs = style.step_size + self._goal.size
        self.num_draws = self._goal.num_draws
        self.term_names: tuple[str, ...] = (cfg.goal,)
        self.goal = torch.zeros(scene.num_envs, self._goal.width, device=scene.device)
        self._parts = untouchables(scene.robot, scene.device)

    @property
    def reference(self) -> BodyState | None:
        """None."""
        return None

    def score(self) -> tuple[Tensor, Tensor]:
        """How well the goal is met; style is judged elsewhere."""
        reward = self._goal.reward(self.goal, self._scene.bodies)
        return reward, reward[:, None]

    def failed(self) -> Tensor:
        """The humanoid fell; not on the first step."""
        cfg, bodies = self.cfg, self._scene.bodies
        if cfg.fall == "never":
            return torch.zeros_like(self._scene.progress, dtype=torch.bool)
        if cfg.fall == "pose":
            down = toppled(bodies, self._scene.robot.root_heights, cfg.fall_tilt)
        else:
            down = fallen(bodies, self._parts, cfg.fall_height)
        return down & (self._scene.progress > 1)

    def finished(self) -> Tensor:
        """Time is up."""
        return self._scene.progress >= self.cfg.episode_steps

    def final(self, which: Tensor) -> Tensor:
        """What the policy would have seen next."""
        return self._seen()[which]

    def restarted(self, which: Tensor, luck: Tensor) -> None:
        """New goals where an episode begins or the old goal has had its time."""
        if self._goal.width:
            due = self._scene.progress % self.cfg.goal_steps == 0  # 0 where an episode begins
            self.goal.copy_(torch.where(due[:, None], self._goal.draw(luck, self._scene.bodies), self.goal))

    def observe(self) -> Tensor:
        """The present step of the style, and the goal."""
        return self._seen()

    def _seen(self) -> Tensor:
        return torch.cat((self._style.now, self._goal.observe(self.goal, self._scene.bodies)), dim=1)
