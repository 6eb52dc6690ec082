"""Skeletons of formats whose files hold no offsets: the figures of their public models, z up, facing +x, metres."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch

from poselib.skeleton import Skeleton
from puffer_phc.robots.amp_humanoid_table import HUMANOID_BODIES
from puffer_phc.robots.smpl_table import SMPL_BODIES

Row = tuple[str, str | None, tuple[float, float, float]]
"""A body, its parent and its origin in the parent at rest."""

# The humanoid of DeepMimic (Peng et al. 2018), there with y up; its arms hang at rest.
_DEEPMIMIC: tuple[Row, ...] = (
    ("root", None, (0.0, 0.0, 0.0)),
    ("chest", "root", (0.0, 0.0, 0.236151)),
    ("neck", "chest", (0.0, 0.0, 0.223894)),
    ("right_hip", "root", (0.0, -0.084887, 0.0)),
    ("right_knee", "right_hip", (0.0, 0.0, -0.421546)),
    ("right_ankle", "right_knee", (0.0, 0.0, -0.40987)),
    ("right_shoulder", "chest", (-0.02405, -0.18311, 0.2435)),
    ("right_elbow", "right_shoulder", (0.0, 0.0, -0.274788)),
    ("right_wrist", "right_elbow", (0.0, 0.0, -0.258947)),
    ("left_hip", "root", (0.0, 0.084887, 0.0)),
    ("left_knee", "left_hip", (0.0, 0.0, -0.421546)),
    ("left_ankle", "left_knee", (0.0, 0.0, -0.40987)),
    ("left_shoulder", "chest", (-0.02405, 0.18311, 0.2435)),
    ("left_elbow", "left_shoulder", (0.0, 0.0, -0.274788)),
    ("left_wrist", "left_elbow", (0.0, 0.0, -0.258947)),
)

# MimicKit's version of it: depth first, its arms level at rest.
_MIMICKIT_HUMANOID: tuple[Row, ...] = (
    ("pelvis", None, (0.0, 0.0, 0.0)),
    ("torso", "pelvis", (0.0, 0.0, 0.236151)),
    ("head", "torso", (0.0, 0.0, 0.223894)),
    ("right_upper_arm", "torso", (-0.02405, -0.18311, 0.2435)),
    ("right_lower_arm", "right_upper_arm", (0.0, -0.274788, 0.0)),
    ("right_hand", "right_lower_arm", (0.0, -0.258947, 0.0)),
    ("left_upper_arm", "torso", (-0.02405, 0.18311, 0.2435)),
    ("left_lower_arm", "left_upper_arm", (0.0, 0.274788, 0.0)),
    ("left_hand", "left_lower_arm", (0.0, 0.258947, 0.0)),
    ("right_thigh", "pelvis", (0.0, -0.084887, 0.0)),
    ("right_shin", "right_thigh", (0.0, 0.0, -0.421546)),
    ("right_foot", "right_shin", (0.0, 0.0, -0.40987)),
    ("left_thigh", "pelvis", (0.0, 0.084887, 0.0)),
    ("left_shin", "left_thigh", (0.0, 0.0, -0.421546)),
    ("left_foot", "left_shin", (0.0, 0.0, -0.40987)),
)

# The mean of CMU's subjects 01 to 135, under the joint names of the BVH conversion.
_CMU: tuple[Row, ...] = (
    ("Hips", None, (0.0, 0.0, 0.0)),
    ("LHipJoint", "Hips", (0.0, 0.0, 0.0)),
    ("LeftUpLeg", "LHipJoint", (0.042, 0.0916, -0.1005)),
    ("LeftLeg", "LeftUpLeg", (0.0, 0.138, -0.3792)),
    ("LeftFoot", "LeftLeg", (0.0, 0.1488, -0.4089)),
    ("LeftToeBase", "LeftFoot", (0.1213, 0.0104, -0.0285)),
    ("RHipJoint", "Hips", (0.0, 0.0, 0.0)),
    ("RightUpLeg", "RHipJoint", (0.042, -0.0875, -0.1005)),
    ("RightLeg", "RightUpLeg", (0.0, -0.14, -0.3846)),
    ("RightFoot", "RightLeg", (0.0, -0.1483, -0.4074)),
    ("RightToeBase", "RightFoot", (0.1224, -0.0119, -0.0326)),
    ("LowerBack", "Hips", (0.0, 0.0, 0.0)),
    ("Spine", "LowerBack", (-0.0083, -0.0003, 0.1173)),
    ("Spine1", "Spine", (-0.001, 0.0016, 0.1174)),
    ("Neck", "Spine1", (0.003, 0.0017, 0.1182)),
    ("Neck1", "Neck", (0.0085, -0.0036, 0.0973)),
    ("Head", "Neck1", (-0.0151, 0.0035, 0.0963)),
    ("LeftShoulder", "Spine1", (0.003, 0.0017, 0.1182)),
    ("LeftArm", "LeftShoulder", (-0.0115, 0.1894, 0.0603)),
    ("LeftForeArm", "LeftArm", (0.0, 0.2957, 0.0)),
    ("LeftHand", "LeftForeArm", (0.0, 0.1887, 0.0)),
    ("LeftFingerBase", "LeftHand", (0.0, 0.0944, 0.0)),
    ("LeftHandIndex1", "LeftFingerBase", (0.0, 0.0363, 0.0)),
    ("LThumb", "LeftHand", (0.0, 0.0944, 0.0)),
    ("RightShoulder", "Spine1", (0.003, 0.0017, 0.1182)),
    ("RightArm", "RightShoulder", (-0.0071, -0.1808, 0.0664)),
    ("RightForeArm", "RightArm", (0.0, -0.3008, 0.0)),
    ("RightHand", "RightForeArm", (0.0, -0.1914, 0.0)),
    ("RightFingerBase", "RightHand", (0.0, -0.0957, 0.0)),
    ("RightHandIndex1", "RightFingerBase", (0.0, -0.0397, 0.0)),
    ("RThumb", "RightHand", (0.0, -0.0957, 0.0)),
)


def skeleton_from_rows(rows: Sequence[Row]) -> Skeleton:
    """A skeleton, float64, with the bodies of ``rows`` in their order."""
    names = [name for name, _, _ in rows]
    parents = tuple(-1 if parent is None else names.index(parent) for _, parent, _ in rows)
    return Skeleton(tuple(names), parents, torch.tensor([offset for _, _, offset in rows], dtype=torch.float64))


@cache
def deepmimic_skeleton() -> Skeleton:
    """DeepMimic's humanoid, 15 bodies, arms hanging."""
    return skeleton_from_rows(_DEEPMIMIC)


@cache
def mimickit_humanoid_skeleton() -> Skeleton:
    """MimicKit's 28-dof humanoid, 15 bodies, arms level."""
    return skeleton_from_rows(_MIMICKIT_HUMANOID)


@cache
def cmu_skeleton() -> Skeleton:
    """A CMU subject of mean proportions, 31 bodies, in the pose where all of CMU's channels are zero."""
    return skeleton_from_rows(_CMU)


@cache
def smpl_skeleton() -> Skeleton:
    """The SMPL humanoid's mean body, 24 bodies, arms level."""
    return skeleton_from_rows([(row.name, row.parent, row.pos) for row in SMPL_BODIES])


@cache
def amp_humanoid_skeleton() -> Skeleton:
    """Isaac Gym's 28-dof humanoid, 15 bodies, arms hanging."""
    return skeleton_from_rows([(row.name, row.parent, row.pos) for row in HUMANOID_BODIES])
