"""From a plan (feet, zero-moment point, upper-body curves) to a motion of the SMPL humanoid, and to an AMASS file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from poselib.rotations import (
    exp_map_to_quat,
    quat_conj,
    quat_from_angle_axis,
    quat_identity,
    quat_mul,
    quat_rotate,
)
from puffer_phc.motions.balance import balanced_pelvis, smpl_skeleton
from puffer_phc.motions.checks import check_bodies
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.curves import keyed
from puffer_phc.motions.footwork import FootTrack, Side
from puffer_phc.motions.formats.arrays import write_npz
from puffer_phc.motions.formats.smpl_pose import pelvis_offset, pose_from_local_rot
from puffer_phc.motions.leg_ik import LegBones, solve_leg
from puffer_phc.robots.smpl_table import BODY_NAMES, SMPL_BODIES

Keys = Sequence[tuple[float, float]]

PLAN_FPS = 120
"""Rate at which motions are computed; clips keep every fourth frame, so that balance is that of the smooth motion."""

CLIP_FPS = 30
_REACH_TOLERANCE = 1e-5  # m
_COLLAR_SHARE = 0.12  # part of the arm's elevation that the collar bone makes

_X, _Y, _Z = torch.eye(3, dtype=torch.float64)


@dataclass
class ArmCurves:
    """One arm over T frames, angles in rad; all zeros is an arm that hangs straight down.

    Attributes:
        flexion: (T,) forward swing of the arm about the left-right axis.
        abduction: (T,) sideways elevation; a quarter turn is the T-pose.
        twist: (T,) turn about the upper arm; negative brings a bent forearm from forward to up.
        elbow: (T,) elbow flexion.
    """

    flexion: Tensor
    abduction: Tensor
    twist: Tensor
    elbow: Tensor


@dataclass
class MotionPlan:
    """What a motion is to do; the pelvis path and the legs follow from it.

    Attributes:
        times: (T,) s, at ``PLAN_FPS``.
        zmp: (T, 2) m, zero-moment point on the floor that the motion is to have.
        feet: path of either foot.
        pelvis_height: (T,) m.
        pelvis_angles: (T, 3) rad, roll (right side down positive), pitch (forward positive) and yaw of the pelvis.
        trunk_angles: (T, 3) rad, the same of the chest relative to the pelvis.
        head_angles: (T, 3) rad, the same of the head relative to the chest.
        arms: curves of either arm.
    """

    times: Tensor
    zmp: Tensor
    feet: dict[Side, FootTrack]
    pelvis_height: Tensor
    pelvis_angles: Tensor
    trunk_angles: Tensor
    head_angles: Tensor
    arms: dict[Side, ArmCurves] = field(default_factory=dict)


def frame_times(duration: float) -> Tensor:
    """Frame times (T,) s at ``PLAN_FPS`` from 0 to ``duration`` s, both included."""
    return torch.arange(round(duration * CLIP_FPS) * PLAN_FPS // CLIP_FPS + 1, dtype=torch.float64) / PLAN_FPS


def keyed_degrees(times: Tensor, keys: Keys) -> Tensor:
    """Curve (T,) rad through ``(time s, degrees)`` keys; see :func:`puffer_phc.motions.curves.keyed`."""
    return keyed(times, [(time, math.radians(value)) for time, value in keys])


def keyed_angles(times: Tensor, roll: Keys = ((0, 0),), pitch: Keys = ((0, 0),), yaw: Keys = ((0, 0),)) -> Tensor:
    """Curves (T, 3) rad of three angles given by keys in degrees."""
    return torch.stack([keyed_degrees(times, keys) for keys in (roll, pitch, yaw)], dim=-1)


def keyed_arm(
    times: Tensor,
    flexion: Keys = ((0, 4),),
    abduction: Keys = ((0, 9),),
    twist: Keys = ((0, 0),),
    elbow: Keys = ((0, 16),),
) -> ArmCurves:
    """Arm curves given by keys in degrees; by default a relaxed hanging arm."""
    return ArmCurves(*(keyed_degrees(times, keys) for keys in (flexion, abduction, twist, elbow)))


def realise(name: str, plan: MotionPlan) -> MotionClip:
    """The whole-body motion of ``plan`` as a clip at ``CLIP_FPS``.

    Raises:
        ValueError: a foot is out of reach of its hip.
    """
    upper = _upper_body(plan)
    hinges = {side: _knee_hinge(plan, side) for side in plan.feet}
    pelvis_rot = _euler_quat(plan.pelvis_angles)

    def pose(pelvis_xy: Tensor) -> tuple[Tensor, Tensor]:
        root_pos = torch.cat((pelvis_xy, plan.pelvis_height[:, None]), dim=-1)
        local_rot = quat_identity(len(plan.times), len(BODY_NAMES), dtype=torch.float64)
        local_rot[:, 0] = pelvis_rot
        for body, rot in upper.items():
            local_rot[:, BODY_NAMES.index(body)] = rot
        for side, foot in plan.feet.items():
            leg = solve_leg(_leg_bones(side), root_pos, pelvis_rot, foot.ankle_pos, foot.rot, hinges[side])
            for part, rot in zip(("Hip", "Knee", "Ankle", "Toe"), (*leg, foot.toe_rot), strict=True):
                local_rot[:, BODY_NAMES.index(f"{side}_{part}")] = rot
        return root_pos, local_rot

    pelvis_xy = balanced_pelvis(pose, plan.zmp, plan.pelvis_height, 1.0 / PLAN_FPS)
    root_pos, local_rot = pose(pelvis_xy)
    _check_reach(name, plan, smpl_skeleton().forward_kinematics(root_pos, local_rot)[0])
    every = PLAN_FPS // CLIP_FPS
    return MotionClip(name, float(CLIP_FPS), BODY_NAMES, root_pos[::every].clone(), local_rot[::every].clone())


def amass_arrays(clip: MotionClip) -> dict[str, np.ndarray]:
    """The arrays of an AMASS file for the mean SMPL body.

    ``poses`` (T, 72) rad axis-angle in SMPL joint order and axes, ``trans`` (T, 3) m (pelvis = trans + PELVIS_OFFSET),
    ``mocap_framerate``, ``gender`` and ``betas`` (10,).

    Raises:
        InputError: the clip is not one of the SMPL humanoid.
    """
    check_bodies(clip, BODY_NAMES)
    return {
        "poses": pose_from_local_rot(clip.local_rot).flatten(1).float().numpy(),
        "trans": (clip.root_pos - pelvis_offset()).float().numpy(),
        "mocap_framerate": np.array(clip.fps),
        "gender": np.array("neutral"),
        "betas": np.zeros(10, dtype=np.float32),
    }


def save_amass(path: Path, clip: MotionClip) -> None:
    """Write ``clip`` in AMASS layout; equal motions make equal files."""
    write_npz(path, amass_arrays(clip))


def _leg_bones(side: Side) -> LegBones:
    rows = (SMPL_BODIES[BODY_NAMES.index(f"{side}_{part}")] for part in ("Hip", "Knee", "Ankle"))
    return LegBones(*(torch.tensor(row.pos, dtype=torch.float64) for row in rows))


def _about(axis: Tensor, angle: Tensor) -> Tensor:
    return quat_from_angle_axis(angle, axis.expand(*angle.shape, 3))


def _euler_quat(angles: Tensor) -> Tensor:
    """Rotation (T, 4) of roll, pitch and yaw (T, 3) rad: roll first, yaw last."""
    roll, pitch, yaw = angles.unbind(-1)
    return quat_mul(_about(_Z, yaw), quat_mul(_about(_Y, pitch), _about(_X, roll)))


def _knee_hinge(plan: MotionPlan, side: Side) -> Tensor:
    """Knee axis (T, 3): the knee points half-way between the pelvis's and the foot's heading."""
    heading = 0.5 * (plan.pelvis_angles[:, 2] + plan.feet[side].yaw)
    return quat_rotate(_about(_Z, heading), _Y.expand(len(heading), 3))


def _upper_body(plan: MotionPlan) -> dict[str, Tensor]:
    """Local rotations (T, 4) of the trunk, head and arms; a trunk or head angle is shared evenly by its joints."""
    rotations = {body: exp_map_to_quat(plan.trunk_angles / 3.0) for body in ("Torso", "Spine", "Chest")}
    rotations |= {body: exp_map_to_quat(plan.head_angles / 2.0) for body in ("Neck", "Head")}
    for side, arm in plan.arms.items():
        sign = 1.0 if side == "L" else -1.0
        drop = 0.5 * math.pi - arm.abduction  # from the T-pose of the rest body
        collar = _about(_X, -sign * _COLLAR_SHARE * drop)
        whole = quat_mul(_about(_Y, -arm.flexion), quat_mul(_about(_X, -sign * drop), _about(_Y, arm.twist)))
        rotations[f"{side}_Thorax"] = collar
        rotations[f"{side}_Shoulder"] = quat_mul(quat_conj(collar), whole)
        rotations[f"{side}_Elbow"] = _about(_Z, -sign * arm.elbow)
    return rotations


def _check_reach(name: str, plan: MotionPlan, body_pos: Tensor) -> None:
    for side, foot in plan.feet.items():
        miss = (body_pos[:, BODY_NAMES.index(f"{side}_Ankle")] - foot.ankle_pos).norm(dim=-1)
        if float(miss.max()) > _REACH_TOLERANCE:
            worst = float(plan.times[int(miss.argmax())])
            raise ValueError(f"{name}: the {side} foot is {float(miss.max()):.3f} m out of reach at {worst:.2f} s")
