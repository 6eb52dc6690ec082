"""Clips of the robot's own bodies, whatever file they come from, in the robot's rest frames and joint ranges of motion.

The 28-dof humanoid exists with arms that hang at rest (Isaac Gym) and with level ones (MimicKit): the same body with
other body frames, so that a constant turn of each frame carries motions over exactly.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from poselib.rotations import quat_mul, quat_rotate
from poselib.skeleton import Skeleton
from puffer_phc.motions.checks import check_bodies
from puffer_phc.motions.cleaning import fill_held_frames
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.joint_maps import anatomy
from puffer_phc.motions.rest_poses import rest_alignment
from puffer_phc.robots.robot import Robot

_SAME = 1e-3  # m: offsets that differ by less are the same


def on_robot(clip: MotionClip, robot: Robot) -> MotionClip:
    """``clip`` on the robot's bodies: unchanged, or with its own skeleton's frames turned into the robot's.

    Frames of a foreign file that only repeat the one before are interpolated: five of Isaac Gym's six motions are 30 Hz
    ones with every frame written twice, and every second velocity would be zero. What the robot's joints cannot do (a
    hinge turning sideways) is left out.

    Raises:
        InputError: the clip has other bodies than the robot, or bodies of other sizes.
    """
    if clip.skeleton is not None:
        turns = _frame_turns(clip, robot)
        if turns is None:
            check_bodies(clip, robot.body_names)
        else:
            root_pos, local_rot, _ = fill_held_frames(clip.root_pos, clip.local_rot)
            world = quat_mul(clip.skeleton.local_to_global(local_rot), turns)
            clip = replace(
                clip, root_pos=root_pos, local_rot=robot.skeleton.global_to_local(world), skeleton=None, rig=""
            )
    check_bodies(clip, robot.body_names)
    return feasible(clip, robot)


def feasible(clip: MotionClip, robot: Robot) -> MotionClip:
    """``clip``, of the robot's bodies, with every rotation one that the body's joint can make."""
    if robot.joints.all_balls:
        return clip
    dofs = robot.dof_from_local_rot(clip.local_rot)
    return replace(clip, local_rot=robot.local_rot_from_dof(clip.local_rot[:, 0], dofs))


def _frame_turns(clip: MotionClip, robot: Robot) -> torch.Tensor | None:
    """Rotations (B, 4) of the robot's body frames in those of the clip's skeleton; None if it is another body."""
    source, target = clip.skeleton, robot.skeleton
    if source is None or source.names != target.names or source.parents != target.parents:
        return None
    turns = torch.zeros(len(target), 4, dtype=torch.float64)
    turns[:, 0] = 1.0
    if not _alike(source, target, turns):
        try:
            alignment = rest_alignment(clip.rig, source, anatomy(source), target, anatomy(target))
        except ValueError:
            return None
        for body, turn in alignment.items():
            turns[body] = turn
    return turns if _alike(source, target, turns) else None


def _alike(source: Skeleton, target: Skeleton, turns: torch.Tensor) -> bool:
    """Whether the robot's offsets, seen from the turned frames of their parents, are the source's."""
    parents = list(target.parents[1:])
    seen = quat_rotate(turns[parents], target.offsets[1:].double())
    return bool((seen - source.offsets[1:].double()).norm(dim=-1).max() < _SAME)
