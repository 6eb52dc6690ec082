"""The task of DeepMimic: perform the clip, over and over if it is a cycle, for as long as an episode lasts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from gymtorch import latch
from poselib.rotations import heading_angle
from puffer_phc.envs.deepmimic_terms import (
    PHASE_SIZE,
    TERM_NAMES,
    ImitationConfig,
    imitation_tables,
    imitation_terms,
    phase_rows,
    self_rows,
    target_rows,
)
from puffer_phc.envs.falls import fallen, untouchables
from puffer_phc.envs.scene import Loop, Scene
from puffer_phc.envs.terminations import tracking_lost
from puffer_phc.errors import InputError
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState


@dataclass(frozen=True)
class DeepMimicConfig(ImitationConfig):
    """Observation, reward and ends of the task deepmimic; the defaults are MimicKit's.

    Attributes:
        loop: whether clips begin anew at their end (wrap), end the episode there as a success (clamp), or auto: as the
            file says (MimicKit's do; others clamp).
        frame: what is seen is turned as the world is (global) or as the humanoid is facing (heading).
        tar_obs_steps: control steps ahead of which the reference is observed.
        phase: observe the phase of the clip, too, as a number and in sines and cosines of four octaves.
        termination_distance: m; an episode has failed when any body is further than this from the reference.
        floor_contact: an episode has failed when a body touches the floor that must not.
        floor_bodies: bodies that may touch the floor beside the feet, such as hands for a cartwheel.
    """

    loop: Loop = "auto"
    frame: Literal["global", "heading"] = "global"
    tar_obs_steps: tuple[int, ...] = (1, 2, 3)
    phase: bool = False
    termination_distance: float = 1.0
    floor_contact: bool = True
    floor_bodies: tuple[str, ...] = ()


class DeepMimicTask:
    """See :class:`puffer_phc.envs.tasks.CompletableTask`.

    Attributes:
        cfg: options.
        num_obs: 464 for the 28-dof humanoid.
    """

    num_draws = 0
    cut_together = True
    term_names: tuple[str, ...] = TERM_NAMES

    def __init__(self, scene: Scene, cfg: DeepMimicConfig, episode_steps: int) -> None:
        """``episode_steps`` control steps end an episode that nothing else has ended.

        Raises:
            InputError: joint weights that are none, or bodies that the robot has not.
        """
        self.cfg, self._scene, self._episode_steps = cfg, scene, episode_steps
        self._tables = imitation_tables(scene.robot, cfg, scene.device)
        self._parts = untouchables(_allowing(scene.robot, cfg.floor_bodies), scene.device)
        self._ahead = torch.tensor(cfg.tar_obs_steps, device=scene.device)[:, None]  # (S, 1)
        targets = len(cfg.tar_obs_steps) * self._tables.target_size()
        self.num_obs = self._tables.self_size() + targets + PHASE_SIZE * cfg.phase
        self._wanted = scene.state_at(scene.clip_ids, scene.time())

    @property
    def reference(self) -> BodyState:
        """The bodies that the humanoids should be at now."""
        return self._scene.bodies_at(self._scene.clip_ids, self._scene.time())

    def score(self) -> tuple[Tensor, Tensor]:
        """See :func:`puffer_phc.envs.deepmimic_terms.imitation_terms`."""
        scene = self._scene
        self._wanted = latch(self._wanted, scene.state_at(scene.clip_ids, scene.time()))
        wanted, dof_vel = self._wanted, scene.simulator.dof_vel
        return imitation_terms(scene.bodies, dof_vel, wanted.bodies, wanted.dof_vel, self.cfg, self._tables)

    def failed(self) -> Tensor:
        """A body is too far away, or one that must not touch the floor does; not on the first step."""
        bodies = self._scene.bodies
        lost = tracking_lost(bodies.pos, self._wanted.body_pos, self.cfg.termination_distance)
        if self.cfg.floor_contact:
            lost = lost | fallen(bodies, self._parts, low=math.inf)
        return lost & (self._scene.progress > 1)

    def finished(self) -> Tensor:
        """Time is up, or a clip that does not loop has been performed."""
        return (self._scene.progress >= self._episode_steps) | self._scene.clip_ended()

    def succeeded(self) -> Tensor:
        """A clip that does not loop has been performed."""
        return self._scene.clip_ended()

    def final(self, which: Tensor) -> Tensor:
        """What the policy would have seen next."""
        scene = self._scene
        dof_vel, clip_ids = scene.simulator.dof_vel[which], scene.clip_ids[which]
        return self._observation(scene.bodies.rows(which), dof_vel, clip_ids, scene.time()[which])

    def restarted(self, which: Tensor, luck: Tensor) -> None:
        """Nothing: the reference is all there is to follow."""

    def observe(self) -> Tensor:
        """The humanoids and some moments of the reference to come."""
        scene = self._scene
        return self._observation(scene.bodies, scene.simulator.dof_vel, scene.clip_ids, scene.time())

    def _observation(self, bodies: BodyState, dof_vel: Tensor, clip_ids: Tensor, time: Tensor) -> Tensor:
        """(M, O): own state, targets in the order of ``tar_obs_steps``, phase."""
        scene, tables, count = self._scene, self._tables, len(self._ahead)
        yaw = heading_angle(bodies.rot[:, 0])
        if self.cfg.frame == "global":
            yaw = torch.zeros_like(yaw)
        rows = self_rows(bodies, dof_vel, yaw, tables)
        times = (time + self._ahead * scene.control_dt).flatten()  # all envs one step ahead, all two, ...
        targets = scene.bodies_at(clip_ids.repeat(count), times)
        parts = [tensor.chunk(count) for tensor in targets]
        for target in zip(*parts, strict=True):
            rows += target_rows(bodies.pos[:, 0], BodyState(*target), yaw, tables)
        if self.cfg.phase:
            duration = scene.library.duration[clip_ids]
            rows.append(phase_rows((scene.clip_time(clip_ids, time) / duration).clamp(0.0, 1.0)))
        return torch.cat(rows).T


def _allowing(robot: Robot, names: tuple[str, ...]) -> Robot:
    """``robot`` with ``names`` counted among its feet."""
    if unknown := [name for name in names if name not in robot.body_names]:
        known = ", ".join(robot.body_names)
        raise InputError("--deepmimic.floor_bodies", f"robot {robot.name} has no {unknown[0]!r}", f"it has {known}")
    return replace(robot, body_sets={**robot.body_sets, "feet": (*robot.body_sets["feet"], *names)})
