"""From any humanoid skeleton to a robot's: rotations are carried over, then feet, floor and flips are mended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from poselib.motion import SkeletonMotion
from poselib.rotations import quat_identity, quat_mul, quat_normalize, quat_rotate, quat_slerp
from poselib.skeleton import Skeleton
from puffer_phc.errors import InputError
from puffer_phc.motions.bending import bend
from puffer_phc.motions.checks import MIN_FRAMES, check_bodies, check_clip
from puffer_phc.motions.cleaning import fill_held_frames, mend_jumps, mend_root, untwist
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.known_skeletons import amp_humanoid_skeleton, smpl_skeleton
from puffer_phc.motions.joint_maps import SIDES, Anatomy, JointMap, anatomy, joint_map, without
from puffer_phc.motions.planting import plant
from puffer_phc.motions.rest_poses import RIG_MAPS, has_table, rest_alignment
from puffer_phc.robots.joints import joint_rows
from puffer_phc.robots.robot import Robot

_ABOVE_HINGE = 0.1  # enough to settle the twist of an arm that is straight


def transfer(clip: MotionClip, robot: Robot, overrides: Mapping[str, str] | None = None) -> MotionClip:
    """The motion of ``clip`` on the robot's bodies: world rotations copied through the rest poses, the path scaled.

    The path is that of the middle of the hips, scaled by the ratio of leg lengths about the world's origin, so that
    steps keep their proportion to the legs. Nothing is cleaned. A clip of the robot's own bodies comes back as it is.

    Args:
        clip: a motion with a skeleton, or of the robot's bodies.
        robot: the target.
        overrides: source joints by the robot's body names, over what the names and the tree tell.

    Raises:
        InputError: the clip's joints cannot be mapped; the message names what is missing and ``--joint-map``.
    """
    clip = with_skeleton(clip, robot)
    if clip.skeleton is None:
        check_bodies(clip, robot.body_names)
        return bend(clip, robot)
    source, (target, upright) = clip.skeleton, _upright(robot)
    try:
        known = RIG_MAPS.get(clip.rig, {}) if has_table(clip.rig, target) else {}
        known = known | {body: joint for body, joint in robot.joint_map.items() if joint in ("", *source.names)}
        drivers = joint_map(source, target, {**known, **(overrides or {})})
        source_parts, target_parts = anatomy(source), anatomy(target)
    except ValueError as error:
        raise InputError(clip.source or clip.name, str(error), "give a --joint-map of the robot's bodies") from error
    if source.names != target.names:
        drivers = without(drivers, tuple(robot.body_ids(robot.body_sets.get("hands", ()))))
    rest = rest_alignment(clip.rig, source, source_parts, target, target_parts)
    body_pos, body_rot = source.forward_kinematics(clip.root_pos, clip.local_rot)
    rotations = _driven(drivers, rest, body_rot, target)
    scale = _leg_length(target, target_parts) / _leg_length(source, source_parts)
    hips = scale * _middle(body_pos, source_parts)
    offset = _middle(target.forward_kinematics(hips.new_zeros(3), quat_identity(len(target)).double())[0], target_parts)
    turned = rotations if upright is None else quat_mul(rotations, upright)
    moved = MotionClip(
        name=clip.name,
        fps=clip.fps,
        body_names=robot.body_names,
        root_pos=hips - quat_rotate(rotations[:, 0], offset.expand_as(hips)),
        local_rot=robot.skeleton.global_to_local(turned),
        source=clip.source,
    )
    return bend(moved, robot, *_weighed(robot, drivers, target_parts))


def _upright(robot: Robot) -> tuple[Skeleton, Tensor | None]:
    """The robot's skeleton with body frames that are all upright at zero joint angles, and what turns them (B, 4).

    Robots of MJCF files may have leaning frames; None where no frame leans.
    """
    skeleton = robot.skeleton
    rest = robot.local_rot_from_dof(quat_identity(1, dtype=torch.float64)[0], torch.zeros(robot.num_dofs).double())
    pos, rot = skeleton.forward_kinematics(torch.zeros(3, dtype=torch.float64), rest)
    if robot.joints.all_balls or float(rot[:, 0].abs().min()) > 1.0 - 1e-12:
        return skeleton, None
    offsets = pos - pos[[0, *skeleton.parents[1:]]]
    return Skeleton(skeleton.names, skeleton.parents, offsets), rot


def _weighed(robot: Robot, drivers: JointMap, parts: Anatomy) -> tuple[Tensor, Tensor]:
    """How much bodies (B,) must keep their rotation, 0 to 1, and which (B,) bool their place, when joints are bent.

    Knees and elbows that are hinges follow from where feet and hands are; several bodies in one joint share its turn.
    An upper arm above a hinge has to twist to bring the hand where it belongs, and is nearly free to do so.
    """
    steered = torch.zeros(robot.num_bodies, dtype=torch.float64)
    steered[list(drivers)] = 1.0
    single = [body for body, row in enumerate(joint_rows(robot.model), start=1) if len(row.axes) == 1]
    steered[[upper for side, upper in parts.upper_arm.items() if parts.forearm[side] in single]] *= _ABOVE_HINGE
    steered[single] = 0.0
    steered[[0, *parts.spine[-1:], *(foot for foot in parts.foot.values() if foot in drivers)]] = 1.0
    placed = torch.ones(robot.num_bodies, dtype=torch.bool)
    for last, first in parts.above.items():
        placed[list((*first, last)[1:])] = False
    placed[list(parts.foot.values())] = True
    return steered, placed


def with_skeleton(clip: MotionClip, robot: Robot) -> MotionClip:
    """``clip``; one of the bodies of another robot that this program knows gets that robot's skeleton."""
    if clip.skeleton is not None or clip.body_names == robot.body_names:
        return clip
    for skeleton, rig in ((smpl_skeleton(), "phc_smpl"), (amp_humanoid_skeleton(), "igym_amp")):
        if clip.body_names == skeleton.names:
            return replace(clip, skeleton=skeleton, rig=rig)
    return clip


def _driven(drivers: JointMap, rest: Mapping[int, Tensor], body_rot: Tensor, target: Skeleton) -> Tensor:
    """World rotations (T, B, 4) of the target's bodies from those of the source (T, S, 4)."""
    columns: list[Tensor] = []
    for body, parent in enumerate(target.parents):
        driver = drivers.get(body)
        if driver is None:
            columns.append(columns[parent] if parent >= 0 else body_rot[:, 0])
            continue
        rot = body_rot[:, driver.body]
        if driver.share < 1.0:
            rot = quat_slerp(body_rot[:, driver.base], rot, rot.new_tensor(driver.share))
        columns.append(quat_mul(rot, rest[body].expand_as(rot)) if body in rest else rot)
    return quat_normalize(torch.stack(columns, dim=1))


def _leg_length(skeleton: Skeleton, parts: Anatomy) -> float:
    """Mean over both sides of thigh and shin, m."""
    if not any(parts.above.values()):
        lengths = [skeleton.offsets[part[side]].norm() for part in (parts.shin, parts.foot) for side in part]
        return float(torch.stack(lengths).sum()) / 2.0
    pos, _ = skeleton.forward_kinematics(torch.zeros(3).double(), quat_identity(len(skeleton)).double())
    bones = [(parts.top(parts.thigh[side]), parts.shin[side]) for side in parts.shin]
    bones += [(parts.shin[side], parts.foot[side]) for side in parts.foot]
    return sum(float((pos[a] - pos[b]).norm()) for a, b in bones) / 2.0


def _middle(body_pos: Tensor, parts: Anatomy) -> Tensor:
    """The point (..., 3) half-way between the hips."""
    left, right = (parts.top(parts.thigh[side]) for side in SIDES)
    return 0.5 * (body_pos[..., left, :] + body_pos[..., right, :])


@dataclass(frozen=True)
class Retargeted:
    """A finished clip and what was done to it.

    Attributes:
        clip: the motion on the robot's bodies, on the floor.
        transferred: the same motion before any cleaning, at the same frame rate.
        notes: what was mended, in words.
    """

    clip: MotionClip
    transferred: MotionClip
    notes: tuple[str, ...] = ()


def retarget(
    clip: MotionClip,
    robot: Robot,
    target_fps: float | None = None,
    overrides: Mapping[str, str] | None = None,
    clean: bool = True,
) -> Retargeted:
    """Bring any clip onto the robot: resample, transfer, mend joints, plant the feet.

    Deterministic for a given number of torch threads; the result does not depend on where the source stands and which
    way it faces.

    Args:
        clip: a motion with a skeleton, or of the robot's bodies.
        robot: the target.
        target_fps: frame rate of the result; None keeps the source's.
        overrides: source joints by the robot's body names.
        clean: False stops after the transfer.

    Raises:
        InputError: the clip is damaged, too short, or of a skeleton that cannot be mapped.
    """
    check_clip(clip)
    clip, notes = with_skeleton(clip, robot), []
    root_pos, local_rot, held = fill_held_frames(clip.root_pos, quat_normalize(clip.local_rot))
    if held:
        notes.append(f"{held} held frames interpolated")
    clip = _resampled(replace(clip, root_pos=root_pos, local_rot=local_rot), robot, target_fps)
    moved = transfer(clip, robot, overrides)
    if not clean:
        return Retargeted(moved, moved, tuple(notes))
    if moved.num_frames < MIN_FRAMES:
        raise InputError(clip.source or clip.name, f"too short ({moved.num_frames} frames)", f"{MIN_FRAMES} are needed")
    parts = anatomy(robot.skeleton)
    local_rot, turned = mend_root(robot.skeleton, moved.local_rot, moved.fps)
    local_rot, twisted = untwist(robot, parts, local_rot, moved.fps)
    local_rot, jumped = mend_jumps(local_rot, moved.fps)
    if turned:
        notes.append(f"{turned} frames of the pelvis mended")
    if twisted:
        notes.append(f"{twisted} limb twists undone")
    planted = plant(replace(moved, local_rot=local_rot), robot, parts)
    # The fit may bring a limb's speed over the limit where a jump was just below it.
    local_rot, again = mend_jumps(planted.local_rot, planted.fps)
    if jumped + again:
        notes.append(f"{jumped + again} joint jumps mended")
    return Retargeted(bend(replace(planted, local_rot=local_rot), robot), moved, tuple(notes))


def _resampled(clip: MotionClip, robot: Robot, fps: float | None) -> MotionClip:
    """The clip at another frame rate, by slerp."""
    if fps is None or fps == clip.fps:
        return clip
    skeleton = clip.skeleton if clip.skeleton is not None else robot.skeleton
    where = clip.source or clip.name
    try:
        motion = SkeletonMotion(skeleton, clip.fps, clip.root_pos, clip.local_rot).resample(fps)
    except ValueError as error:
        raise InputError(where, str(error), f"a motion needs at least {MIN_FRAMES} frames") from error
    return replace(clip, fps=fps, root_pos=motion.root_pos, local_rot=motion.local_rot)
