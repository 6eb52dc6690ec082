"""A policy that follows motions performs them in plain MuJoCo, as the trainer's evaluation does. Needs no torch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from puffer_phc.deployment.folder import Deployment, fitting_frames
from puffer_phc.deployment.metadata import MOTIONS_FILE, ClipScore
from puffer_phc.deployment.motions import Motion
from puffer_phc.deployment.sight import Sight
from puffer_phc.deployment.torque import Torque, torque_lines, torque_of
from puffer_phc.quaternions import Array

_TIME_SLACK = 1e-2  # part of a control step by which a clip may end early, as in training
OnStep = Callable[[Array, Array, float, float], None]
"""Told after each control step: simulated qpos, reference qpos, s into the clip, error in mm."""


@dataclass(frozen=True)
class Performance:
    """One clip performed.

    Attributes:
        name: of the clip.
        frames: control steps the clip lasts.
        played_steps: control steps until the end or the failure.
        success: performed to its end.
        error: (played_steps,) mm, mean distance of all bodies from the reference, per step.
        torque: of the joints.
    """

    name: str
    frames: int
    played_steps: int
    success: bool
    error: Array
    torque: Torque

    @property
    def mpjpe_g(self) -> float:
        """Mean error in mm."""
        return float(self.error.mean())


class Performer:
    """Performs the motions of an exported folder.

    Args:
        deployment: the folder.
        motions: another folder's ``motions.npz``; None for its own.

    Attributes:
        deployment: as given.
        metadata, model: its, and MuJoCo's.
        frames: the motions.

    Raises:
        InputError: the motions are missing, damaged or another robot's.
    """

    def __init__(self, deployment: Deployment, motions: Path | None = None) -> None:
        self.deployment, self.metadata, self.model = deployment, deployment.metadata, deployment.plant.model
        self.frames = fitting_frames(motions or deployment.folder / MOTIONS_FILE, self.metadata)
        names = self.metadata.robot.body_names
        self._judged = [names.index(name) for name in self.metadata.robot.body_sets.get("evaluation", names)]

    def motion(self, clip: int) -> Motion:
        """Clip number ``clip``."""
        return Motion(self.frames, clip, self.model)

    def perform(self, motion: Motion, on_step: OnStep | None = None) -> Performance:
        """Play ``motion`` from its first frame to its end, or until it is lost, as the trainer's evaluation does."""
        deployment = self.deployment
        metadata, plant = deployment.metadata, deployment.plant
        dt = metadata.control_dt
        steps = max(1, math.ceil(motion.duration / dt - _TIME_SLACK))
        plant.reset(*motion.start())
        deployment.runner.reset()
        errors: list[float] = []
        step, lost = 0, False
        for step in range(1, steps + 1):
            plant.step(self.target(motion, step - 1))
            bodies, reference = plant.bodies(), motion.bodies_at(step * dt)
            distance = np.linalg.norm(bodies.pos[0] - reference.pos[0], axis=-1)
            lost = plant.diverged or not distance[self._judged].mean() <= metadata.termination_distance
            if not lost or not errors:  # the failing frame itself may be anything
                errors.append(1e3 * float(np.nan_to_num(distance.mean())))
            if on_step:
                on_step(plant.qpos, motion.qpos_at(step * dt), step * dt, errors[-1])
            if lost:
                break
        played = step - 1 if lost else steps
        return Performance(motion.name, steps, played, not lost, np.array(errors), torque_of(plant, metadata.robot))

    def target(self, motion: Motion, step: int) -> Array:
        """Joint targets (D,) rad in the present state, ``step`` control steps into the clip."""
        deployment = self.deployment
        dt, action = deployment.metadata.control_dt, deployment.metadata.action
        # As in training, the robot starts as the reference is, whose bodies' velocities are not quite its joints'.
        bodies = deployment.plant.bodies() if step else motion.bodies_at(0.0)
        sight = Sight(bodies, deployment.plant.dof_vel, motion.bodies_at((step + 1) * dt))
        ahead = motion.dof_pos_at((step + action.lead_steps) * dt) if action.mode == "reference" else None
        return deployment.runner.act(deployment.observe(sight), ahead)[0][0]


def describe(performance: Performance, trained: ClipScore | None) -> list[str]:
    """A few lines about one performance; ``trained`` is the trainer's evaluation of the same clip."""
    outcome = "followed to its end" if performance.success else f"lost after {performance.played_steps} steps"
    lines = [f"{performance.name}: {outcome}, mean error {performance.mpjpe_g:.1f} mm of {performance.frames} steps"]
    if trained is not None and trained.mpjpe_g is not None:
        theirs = "success" if trained.success else f"lost after {trained.played_steps} steps"
        change = performance.mpjpe_g - trained.mpjpe_g
        lines.append(f"  trainer's evaluation: {trained.mpjpe_g:.1f} mm ({theirs}); here {change:+.1f} mm")
    return [*lines, *torque_lines(performance.torque)]


def film(performer: Performer, motion: Motion, path: Path) -> Performance:
    """Perform ``motion`` into an mp4 file, the reference beside it.

    Raises:
        InputError: no OpenGL is to be had, or the file cannot be written.
    """
    from puffer_phc.viewers.render import MotionRenderer  # late: only pictures need OpenGL
    from puffer_phc.viewers.video import VideoWriter

    fps = 1.0 / performer.metadata.control_dt
    with contextlib.ExitStack() as stack:
        renderer = stack.enter_context(MotionRenderer(performer.model, fps=fps))
        video = stack.enter_context(VideoWriter(path, fps=fps))

        def show(simulated: Array, reference: Array, time: float, error: float) -> None:
            caption = f"{motion.name}   {time:5.2f} s   mean error {error:4.0f} mm"
            video.write(renderer.frame(simulated, reference, caption))

        return performer.perform(motion, show)
