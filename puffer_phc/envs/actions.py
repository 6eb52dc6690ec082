"""From actions to the targets of the joints' servos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from puffer_phc.envs.scene import Scene

ActionMode = Literal["reference", "absolute"]


@dataclass(frozen=True)
class ActionConfig:
    """What an action means.

    Attributes:
        action_mode: ``reference`` adds the action to the reference's joint pose; ``absolute`` is PHC's, the action
            spans each joint's whole range.
        action_scale: rad per unit of action in ``reference`` mode.
        action_lead: control steps that the reference pose of ``reference`` mode runs ahead; makes up for the lag of
            the joint servos.
    """

    action_mode: ActionMode = "reference"
    action_scale: float = 1.0
    action_lead: float = 2.0


class ActionMap:
    """The joint targets of a scene's humanoids."""

    def __init__(self, scene: Scene, cfg: ActionConfig) -> None:
        self.cfg, self._scene = cfg, scene
        robot = scene.robot
        movable = (~robot.frozen_dofs).to(dtype=torch.float32)
        self._scale = (robot.action_scale * movable).to(scene.device)
        self._on_frames = scene.on_frames and cfg.action_lead == round(cfg.action_lead)
        self._offset = (robot.action_offset * movable).to(scene.device)

    def __call__(self, action: Tensor) -> Tensor:
        """Joint targets (N, D) rad of actions (N, D), which are clipped to [-1, 1]."""
        action = action.clamp(-1.0, 1.0)
        if self.cfg.action_mode == "absolute":
            return self._offset + self._scale * action
        scene = self._scene
        time = scene.clip_time(scene.clip_ids, scene.time(self.cfg.action_lead))
        ahead = scene.library.dof_pos_at(scene.clip_ids, time, self._on_frames)
        return ahead + self.cfg.action_scale * action
