"""Mends single joints over time: held frames, limbs whose twist flips by half a turn, and jumps of any joint."""

from __future__ import annotations

import torch
from torch import Tensor

from poselib.motion import dof_velocity
from poselib.rotations import quat_angle, quat_conj, quat_from_angle_axis, quat_mul, quat_slerp, wrap_angle
from poselib.skeleton import Skeleton
from puffer_phc.motions.joint_maps import SIDES, Anatomy
from puffer_phc.robots.robot import Robot

MAX_JOINT_SPEED = 25.0
"""rad/s: faster turns of a joint in 30 Hz motion capture are faults of the skeleton fit (spec/formats.md)."""

MAX_ROOT_SPEED = 20.0
"""rad/s: three turns a second, more than any somersault or pirouette."""

_MENDED_SPEED = 12.0  # rad/s: a gap is widened until the turn across it is no faster
_NEAR_S = 0.27  # two jumps this near to each other may be the two ends of one excursion
_WIDEST_S = 0.4
_HELD_POS, _HELD_TURN = 1e-7, 1e-6  # m, rad
_STRAIGHT = 0.7  # rad at knee or elbow
_MAX_TWIST = {"thigh": 1.4, "upper_arm": 2.3}  # rad about the bone: no hip or shoulder turns further


def fill_held_frames(root_pos: Tensor, local_rot: Tensor) -> tuple[Tensor, Tensor, int]:
    """Replaces frames that repeat the one before, in the middle of movement, by interpolation.

    Files converted by taking the nearest frame repeat some and skip others; the repeated ones are the gaps.

    Args:
        root_pos: (T, 3) m.
        local_rot: (T, B, 4) wxyz.

    Returns:
        Both mended, and the number of frames replaced.
    """
    step = (root_pos[1:] - root_pos[:-1]).norm(dim=-1)
    turn = quat_angle(quat_mul(quat_conj(local_rot[:-1]), local_rot[1:])).amax(dim=-1)
    same = (step < _HELD_POS) & (turn < _HELD_TURN)
    held = torch.zeros(len(root_pos), dtype=torch.bool)
    # The last frame of a run of equal ones is the gap; whoever stands still for longer does so on purpose.
    held[1:-1] = same[:-1] & ~same[1:]
    held[2:-1] &= ~same[:-2]
    frames = held.nonzero()[:, 0]
    if not len(frames):
        return root_pos, local_rot, 0
    pos, rot = root_pos.clone(), local_rot.clone()
    pos[frames] = 0.5 * (root_pos[frames - 1] + root_pos[frames + 1])
    rot[frames] = quat_slerp(local_rot[frames - 1], local_rot[frames + 1], torch.tensor(0.5, dtype=rot.dtype))
    return pos, rot, len(frames)


def untwist(robot: Robot, parts: Anatomy, local_rot: Tensor, fps: float) -> tuple[Tensor, int]:
    """Turns thighs and upper arms back that are twisted about their bone further than a body can.

    When a limb is nearly straight, its twist is ill-defined, and a skeleton fit may turn thigh and shin by half a turn
    while the foot stays right. Twists beyond the limit, and their neighbours as far as they jump, are replaced by a
    straight line between the good frames; the foot or hand keeps its rotation in the world.

    Args:
        robot: the robot.
        parts: its limbs.
        local_rot: (T, B, 4) wxyz.
        fps: frames per second.

    Returns:
        The mended rotations, and the number of frames changed, summed over limbs.
    """
    skeleton = robot.skeleton
    count = 0
    for upper_name, lower_name, end_name in (("thigh", "shin", "foot"), ("upper_arm", "forearm", "hand")):
        for side in SIDES:
            upper, lower, end = (getattr(parts, name).get(side) for name in (upper_name, lower_name, end_name))
            if upper is None or lower is None or end is None:
                continue
            axis = torch.nn.functional.normalize(skeleton.offsets[lower].double(), dim=0)
            twist = _twist(local_rot[:, upper], axis)
            bad = _twisted(twist, local_rot[:, upper], _MAX_TWIST[upper_name], fps)
            # A bent limb shows its twist: it may look odd, but it is no artefact.
            bad &= quat_angle(local_rot[:, lower]) < _STRAIGHT
            if not bad.any() or bad.all():
                continue
            count += int(bad.sum())
            change = quat_from_angle_axis(_interpolated(twist, bad) - twist, axis.expand(len(twist), 3))
            mended = local_rot.clone()
            mended[:, upper] = quat_mul(local_rot[:, upper], change)
            # lower' lower^-1 must be the same for the end: end' = (change lower)^-1 lower end
            lower_rot = local_rot[:, lower]
            turned = quat_mul(change, lower_rot)
            mended[:, end] = quat_mul(quat_conj(turned), quat_mul(lower_rot, local_rot[:, end]))
            local_rot = mended
    return local_rot, count


def _twist(rot: Tensor, axis: Tensor) -> Tensor:
    """Angle (T,) rad in [-pi, pi) of the turn about ``axis`` (3,) that ``rot`` (T, 4) makes before its swing."""
    return wrap_angle(2.0 * torch.atan2(rot[:, 1:] @ axis, rot[:, 0]))


def _twisted(twist: Tensor, rot: Tensor, limit: float, fps: float) -> Tensor:
    """Frames (T,) with too large a twist, and those from which it was reached in a jump."""
    bad = twist.abs() > limit
    fast = quat_angle(quat_mul(quat_conj(rot[:-1]), rot[1:])) * fps > MAX_JOINT_SPEED
    for _ in range(round(_WIDEST_S * fps) // 2):
        wider = bad.clone()
        wider[1:] |= bad[:-1] & fast
        wider[:-1] |= bad[1:] & fast
        if bool((wider == bad).all()):
            break
        bad = wider
    return bad


def _interpolated(angle: Tensor, bad: Tensor) -> Tensor:
    """``angle`` (T,) with bad frames on straight lines between good ones, level before the first and after the last."""
    good = (~bad).nonzero()[:, 0]
    frames = torch.arange(len(angle))
    right = torch.searchsorted(good, frames).clamp(max=len(good) - 1)
    left = (right - 1).clamp(min=0)
    before, after = good[left], good[right]
    share = ((frames - before) / (after - before).clamp_min(1)).clamp(0.0, 1.0).to(angle.dtype)
    straight = angle[before] + share * (angle[after] - angle[before])
    return torch.where(bad, straight, angle)


def mend_jumps(local_rot: Tensor, fps: float, limit: float = MAX_JOINT_SPEED) -> tuple[Tensor, int]:
    """Replaces what a joint does faster than ``limit`` by the shortest turn across the gap.

    Two jumps within a quarter of a second between which the joint goes somewhere and returns are one fault, and all
    between them is replaced. A gap is widened until the turn across it is slow.

    Args:
        local_rot: (T, B, 4) wxyz; the root (body 0) is left alone.
        fps: frames per second.
        limit: rad/s.

    Returns:
        The mended rotations, and the number of (frame, joint) pairs that were replaced.
    """
    speed = dof_velocity(local_rot[:, 1:], fps)[:-1].norm(dim=-1)  # (T - 1, B - 1)
    count = 0
    mended = local_rot
    for joint in (speed > limit).any(dim=0).nonzero()[:, 0].tolist():
        rot = mended[:, joint + 1]
        for start, end in _gaps(rot, (speed[:, joint] > limit).nonzero()[:, 0].tolist(), fps):
            rot = _bridged(rot, start, end)
            count += end - start - 1
        mended = mended.clone() if mended is local_rot else mended
        mended[:, joint + 1] = rot
    return mended, count


def mend_root(skeleton: Skeleton, local_rot: Tensor, fps: float, limit: float = MAX_ROOT_SPEED) -> tuple[Tensor, int]:
    """Replaces turns of the root body that are faster than ``limit``, while everything above and below keeps its own.

    A skeleton fit that loses the pelvis turns it alone: spine and thighs, seen from the world, stay as they were.

    Args:
        skeleton: the tree.
        local_rot: (T, B, 4) wxyz.
        fps: frames per second.
        limit: rad/s.

    Returns:
        The mended rotations, and the number of frames replaced.
    """
    speed = dof_velocity(local_rot[:, :1], fps)[:-1, 0].norm(dim=-1)
    jumps = (speed > limit).nonzero()[:, 0].tolist()
    if not jumps:
        return local_rot, 0
    world = skeleton.local_to_global(local_rot)
    count = 0
    for start, end in _gaps(world[:, 0], jumps, fps):
        world[:, 0] = _bridged(world[:, 0], start, end)
        count += end - start - 1
    return skeleton.global_to_local(world), count


def _gaps(rot: Tensor, jumps: list[int], fps: float) -> list[tuple[int, int]]:
    """Good frames (start, end) around every fault of one joint (T, 4); ``jumps`` are the first frames of fast steps."""
    near, widest = round(_NEAR_S * fps), round(_WIDEST_S * fps)
    gaps: list[tuple[int, int]] = []
    for jump in jumps:
        if gaps and jump - gaps[-1][1] <= near and _returns(rot, gaps[-1], jump):
            gaps[-1] = (gaps[-1][0], jump + 1)
        else:
            gaps.append((jump, jump + 1))
    widened: list[tuple[int, int]] = []
    for start, end in gaps:
        first, last = start, end
        while _angle(rot, first, last) * fps > _MENDED_SPEED * (last - first) and (last - first) < end - start + widest:
            if first == 0 and last == len(rot) - 1:
                break
            first, last = max(first - 1, 0), min(last + 1, len(rot) - 1)
        if widened and first <= widened[-1][1]:
            first = widened.pop()[0]
        widened.append((first, last))
    return widened


def _returns(rot: Tensor, gap: tuple[int, int], jump: int) -> bool:
    """Whether the joint is nearer to where it was before ``gap`` after the step at ``jump`` than before that step."""
    if jump <= gap[1]:
        return True
    return _angle(rot, gap[0], jump + 1) < 0.7 * _angle(rot, gap[0], jump)


def _angle(rot: Tensor, a: int, b: int) -> float:
    return float(quat_angle(quat_mul(quat_conj(rot[a]), rot[b])))


def _bridged(rot: Tensor, start: int, end: int) -> Tensor:
    """``rot`` (T, 4) with the frames between ``start`` and ``end`` on the shortest turn between those two."""
    share = torch.arange(1, end - start, dtype=rot.dtype) / (end - start)
    result = rot.clone()
    result[start + 1 : end] = quat_slerp(rot[start], rot[end], share[:, None])
    return result
