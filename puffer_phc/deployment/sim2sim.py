"""An exported folder performing its motions in plain MuJoCo, beside the trainer's own evaluation. Needs no torch."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from puffer_phc.deployment.metadata import METADATA_FILE, MOTIONS_FILE, ClipScore, Metadata, read_metadata
from puffer_phc.deployment.motions import Motion, MotionFrames, load_frames
from puffer_phc.deployment.observations import Observer, Sight, make_observer
from puffer_phc.deployment.plant import Plant
from puffer_phc.deployment.rotations import Array
from puffer_phc.deployment.runner import PolicyRunner
from puffer_phc.errors import EXIT_BAD_INPUT, InputError

_TIME_SLACK = 1e-2  # part of a control step by which a clip may end early, as in training
OnStep = Callable[[Array, Array, float, float], None]
"""Told after each control step: simulated qpos, reference qpos, s into the clip, error in mm."""


@dataclass(frozen=True)
class Torque:
    """Joint torques of one performance.

    Attributes:
        mean: N m, over joints and physics steps, absolute.
        peak: N m, the largest of all.
        peak_dof: the joint that it belongs to.
        limited: joints with a limit.
        over: share of the time that any of these spends at or above its limit, the worst joint's.
        over_dof: that joint; empty where no joint has a limit.
    """

    mean: float
    peak: float
    peak_dof: str
    limited: int
    over: float
    over_dof: str


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


class Deployment:
    """An exported folder, ready to perform.

    Args:
        folder: what ``--mode export`` wrote.
        timestep: s of a physics step; None for half of the trained one, 0 for the trained one.
        motions: another folder's ``motions.npz``; None for its own.

    Raises:
        InputError: a file is missing, damaged, or does not fit the others.
    """

    def __init__(self, folder: Path, timestep: float | None = None, motions: Path | None = None) -> None:
        if not folder.is_dir():
            raise InputError(folder, "is no folder", "name a folder that --mode export wrote")
        self.runner = PolicyRunner(folder)
        self.metadata = self.runner.metadata
        if read_metadata(folder / METADATA_FILE) != self.metadata:
            raise InputError(folder / METADATA_FILE, "differs from what policy.onnx carries", "export the policy again")
        trained = self.metadata.timestep
        step = trained / 2 if timestep is None else timestep or trained
        self.plant = Plant(folder, self.metadata, step)
        self.observe: Observer = make_observer(self.plant.model, self.metadata)
        self.frames = _fitting_frames(motions or folder / MOTIONS_FILE, self.metadata)
        names = self.metadata.robot.body_names
        self._judged = [names.index(name) for name in self.metadata.robot.body_sets.get("evaluation", names)]

    def motion(self, clip: int) -> Motion:
        """Clip number ``clip``."""
        return Motion(self.frames, clip, self.plant.model)

    def perform(self, motion: Motion, on_step: OnStep | None = None) -> Performance:
        """Play ``motion`` from its first frame to its end, or until it is lost, as the trainer's evaluation does."""
        metadata, plant = self.metadata, self.plant
        dt = metadata.control_dt
        steps = max(1, math.ceil(motion.duration / dt - _TIME_SLACK))
        plant.reset(*motion.start())
        self.runner.reset()
        errors: list[float] = []
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
                return Performance(motion.name, steps, step - 1, False, np.array(errors), self._torque())
        return Performance(motion.name, steps, steps, True, np.array(errors), self._torque())

    def target(self, motion: Motion, step: int) -> Array:
        """Joint targets (D,) rad in the present state, ``step`` control steps into the clip."""
        dt, action = self.metadata.control_dt, self.metadata.action
        # As in training, the robot starts as the reference is, whose bodies' velocities are not quite its joints'.
        bodies = self.plant.bodies() if step else motion.bodies_at(0.0)
        sight = Sight(bodies, self.plant.dof_vel, motion.bodies_at((step + 1) * dt))
        ahead = motion.dof_pos_at((step + action.lead_steps) * dt) if action.mode == "reference" else None
        return self.runner.act(self.observe(sight), ahead)[0][0]

    def _torque(self) -> Torque:
        plant, robot = self.plant, self.metadata.robot
        steps = max(plant.torque_steps, 1)
        limited = [dof for dof, limit in enumerate(robot.torque_limit) if limit is not None]
        worst = max(limited, key=lambda dof: int(plant.torque_over[dof])) if limited else None
        peak = int(np.argmax(plant.torque_peak))
        return Torque(
            mean=float(plant.torque_sum.mean()) / steps,
            peak=float(plant.torque_peak[peak]),
            peak_dof=robot.dof_names[peak],
            limited=len(limited),
            over=0.0 if worst is None else float(plant.torque_over[worst]) / steps,
            over_dof="" if worst is None else robot.dof_names[worst],
        )


def _fitting_frames(path: Path, metadata: Metadata) -> MotionFrames:
    frames, robot = load_frames(path), metadata.robot
    if frames.robot != robot.name:
        raise InputError(path, f"is of robot {frames.robot!r}, the policy of {robot.name!r}", "use its own motions")
    bodies, dofs = frames.body_pos.shape[1:2], frames.dof_pos.shape[1:2]
    if bodies != (len(robot.body_names),) or dofs != (len(robot.dof_names),):
        raise InputError(path, "has other bodies or joints than the policy", "use its own motions")
    return frames


def choose_clips(frames: MotionFrames, wanted: str) -> list[int]:
    """Numbers of the clips called ``wanted``: a name, a number, or nothing for all.

    Raises:
        InputError: there is none.
    """
    if not wanted:
        return list(range(len(frames.names)))
    if wanted in frames.names:
        return [frames.names.index(wanted)]
    if wanted.isdigit() and int(wanted) < len(frames.names):
        return [int(wanted)]
    names = ", ".join(frames.names[:5]) + (", ..." if len(frames.names) > 5 else "")
    raise InputError("--clip", f"no clip {wanted!r}", f"use 0 to {len(frames.names) - 1} or one of {names}")


def describe(performance: Performance, trained: ClipScore | None) -> list[str]:
    """A few lines about one performance; ``trained`` is the trainer's evaluation of the same clip."""
    torque = performance.torque
    outcome = "followed to its end" if performance.success else f"lost after {performance.played_steps} steps"
    lines = [f"{performance.name}: {outcome}, mean error {performance.mpjpe_g:.1f} mm of {performance.frames} steps"]
    if trained is not None and trained.mpjpe_g is not None:
        theirs = "success" if trained.success else f"lost after {trained.played_steps} steps"
        change = performance.mpjpe_g - trained.mpjpe_g
        lines.append(f"  trainer's evaluation: {trained.mpjpe_g:.1f} mm ({theirs}); here {change:+.1f} mm")
    lines.append(f"  joint torque: mean {torque.mean:.1f} N m, largest {torque.peak:.0f} N m ({torque.peak_dof})")
    if torque.limited:
        lines.append(
            f"  at or above the torque limit: {torque.over:.1%} of the time ({torque.over_dof}, the worst joint)"
        )
    else:
        lines.append("  this robot has no torque limits")
    return lines


def film(deployment: Deployment, motion: Motion, path: Path) -> Performance:
    """Perform ``motion`` into an mp4 file, the reference beside it.

    Raises:
        InputError: no OpenGL is to be had, or the file cannot be written.
    """
    from puffer_phc.viewers.render import MotionRenderer  # late: only pictures need OpenGL
    from puffer_phc.viewers.video import VideoWriter

    fps = 1.0 / deployment.metadata.control_dt
    with contextlib.ExitStack() as stack:
        renderer = stack.enter_context(MotionRenderer(deployment.plant.model, fps=fps))
        video = stack.enter_context(VideoWriter(path, fps=fps))

        def show(simulated: Array, reference: Array, time: float, error: float) -> None:
            caption = f"{motion.name}   {time:5.2f} s   mean error {error:4.0f} mm"
            video.write(renderer.frame(simulated, reference, caption))

        return deployment.perform(motion, show)


def run(arguments: Sequence[str]) -> int:
    """Perform and print; returns the exit code, 1 when a clip was lost.

    Raises:
        InputError: an argument or a file is wrong.
    """
    parser = argparse.ArgumentParser(
        description="Run an exported policy in plain MuJoCo, without torch and without the training code."
    )
    parser.add_argument("folder", type=Path, help="what --mode export wrote")
    parser.add_argument("--clip", default="", metavar="NAME|NUMBER", help="one clip (default: all of them)")
    parser.add_argument(
        "--timestep", type=float, metavar="S", help="of physics (default: half the trained one); 0 is the trained one"
    )
    parser.add_argument("--motions", type=Path, metavar="FILE", help="motions.npz of another exported folder")
    parser.add_argument("--video", type=Path, metavar="OUT.mp4", help="film the clip (the first, of several)")
    args = parser.parse_args(arguments)
    deployment = Deployment(args.folder, args.timestep, args.motions)
    metadata, plant = deployment.metadata, deployment.plant
    print(
        f"{metadata.robot.name}, {metadata.training_steps:,} training samples; physics at {plant.timestep:.6g} s x "
        f"{plant.substeps}, trained at {metadata.timestep:.6g} s x {metadata.substeps}"
    )
    scores = {} if args.motions else {score.name: score for score in metadata.evaluation}
    success = True
    for index, clip in enumerate(choose_clips(deployment.frames, args.clip)):
        motion = deployment.motion(clip)
        filming = args.video is not None and index == 0
        performance = film(deployment, motion, args.video) if filming else deployment.perform(motion)
        print("\n".join(describe(performance, scores.get(motion.name))))
        if filming:
            print(f"  video: {args.video}")
        success &= performance.success
    return 0 if success else 1


def main() -> int:
    """The command line of ``scripts/sim2sim.py``; bad input is told in one line, with exit code 2."""
    try:
        return run(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
