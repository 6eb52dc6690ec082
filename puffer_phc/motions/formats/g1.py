"""Unitree's G1 with 29 joints, as far as motions for it are concerned: tree, offsets, hinge axes (its public model).

The robot's own body frames lean; ours are turned so that at zero joint angles all stand upright, z up, x forward. A
joint then turns about its axis as seen in that pose.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from poselib.skeleton import Skeleton
from puffer_phc.motions.formats.known_skeletons import Row, skeleton_from_rows
from puffer_phc.quaternions import quat_mul

_Vec = tuple[float, float, float]
_LEVEL = (1.0, 0.0, 0.0, 0.0)
_AXES = {"roll": (1.0, 0.0, 0.0), "pitch": (0.0, 1.0, 0.0), "yaw": (0.0, 0.0, 1.0)}

# Joint, parent joint, place in the parent (m), lean in the parent (wxyz), kind of axis; the left side stands for both.
_SPINE = (
    ("waist_yaw", "", (0.0, 0.0, 0.0), _LEVEL, "yaw"),
    ("waist_roll", "waist_yaw", (-0.0039635, 0.0, 0.044), _LEVEL, "roll"),
    ("waist_pitch", "waist_roll", (0.0, 0.0, 0.0), _LEVEL, "pitch"),
)
_LEG = (
    ("hip_pitch", "", (0.0, 0.064452, -0.1027), _LEVEL, "pitch"),
    ("hip_roll", "hip_pitch", (0.0, 0.052, -0.030465), (0.996179, 0.0, -0.0873386, 0.0), "roll"),
    ("hip_yaw", "hip_roll", (0.025001, 0.0, -0.12412), _LEVEL, "yaw"),
    ("knee", "hip_yaw", (-0.078273, 0.0021489, -0.17734), (0.996179, 0.0, 0.0873386, 0.0), "pitch"),
    ("ankle_pitch", "knee", (0.0, -9.4445e-05, -0.30001), _LEVEL, "pitch"),
    ("ankle_roll", "ankle_pitch", (0.0, 0.0, -0.017558), _LEVEL, "roll"),
)
_ARM = (
    ("shoulder_pitch", "waist_pitch", (0.0039563, 0.10022, 0.24778), (0.990264, 0.139201, 0.0, 0.0), "pitch"),
    ("shoulder_roll", "shoulder_pitch", (0.0, 0.038, -0.013831), (0.990268, -0.139172, 0.0, 0.0), "roll"),
    ("shoulder_yaw", "shoulder_roll", (0.0, 0.00624, -0.1032), _LEVEL, "yaw"),
    ("elbow", "shoulder_yaw", (0.015783, 0.0, -0.080518), _LEVEL, "pitch"),
    ("wrist_roll", "elbow", (0.1, 0.00188791, -0.01), _LEVEL, "roll"),
    ("wrist_pitch", "wrist_roll", (0.038, 0.0, 0.0), _LEVEL, "pitch"),
    ("wrist_yaw", "wrist_pitch", (0.046, 0.0, 0.0), _LEVEL, "yaw"),
)
_Joint = tuple[str, str, _Vec, tuple[float, float, float, float], str]


def _side(rows: tuple[_Joint, ...], side: str) -> list[_Joint]:
    """The joints of one side; the right one is the left one mirrored in y."""
    sign = 1.0 if side == "left" else -1.0
    return [
        (
            f"{side}_{name}",
            f"{side}_{parent}" if parent and parent != "waist_pitch" else parent,
            (pos[0], sign * pos[1], pos[2]),
            (lean[0], sign * lean[1], lean[2], sign * lean[3]),
            kind,
        )
        for name, parent, pos, lean, kind in rows
    ]


_JOINTS: tuple[_Joint, ...] = (
    *_side(_LEG, "left"),
    *_side(_LEG, "right"),
    *_SPINE,
    *_side(_ARM, "left"),
    *_side(_ARM, "right"),
)

G1_JOINTS: tuple[str, ...] = tuple(joint[0] for joint in _JOINTS)
"""The 29 joints in the order of the body tree (legs, waist, arms, left before right), as its motors are numbered."""


def _body(joint: str) -> str:
    """The body that a joint turns, by the model's names."""
    return "pelvis" if not joint else "torso_link" if joint == "waist_pitch" else f"{joint}_link"


def breadth_first_joints() -> tuple[int, ...]:
    """Indices into :data:`G1_JOINTS` in the order that Isaac Lab counts joints, one depth of the tree after another."""
    depth = {"": 0}
    for name, parent, *_ in _JOINTS:
        depth[name] = depth[parent] + 1
    order: list[int] = []
    # Siblings follow their parents' order, as a queue gives it.
    queue = [""]
    while queue:
        parent = queue.pop(0)
        children = [i for i, joint in enumerate(_JOINTS) if joint[1] == parent]
        order += children
        queue += [G1_JOINTS[i] for i in children]
    return tuple(order)


@cache
def _model() -> tuple[Skeleton, np.ndarray]:
    """The skeleton with upright frames, and each joint's axis (29, 3) in the pose of zero angles."""
    lean = {"": np.array(_LEVEL)}
    rows: list[Row] = [("pelvis", None, (0.0, 0.0, 0.0))]
    axes = []
    for name, parent, pos, turn, kind in _JOINTS:
        rows.append((_body(name), _body(parent), tuple(_rotate(lean[parent], np.array(pos)).tolist())))  # type: ignore
        lean[name] = quat_mul(lean[parent], np.array(turn) / np.linalg.norm(turn))
        axes.append(_rotate(lean[name], np.array(_AXES[kind])))
    return skeleton_from_rows(rows), np.stack(axes)


def _rotate(quat: np.ndarray, vector: np.ndarray) -> np.ndarray:
    conjugate = quat * np.array([1.0, -1.0, -1.0, -1.0])
    return quat_mul(quat_mul(quat, np.concatenate(([0.0], vector))), conjugate)[1:]


def g1_skeleton() -> Skeleton:
    """The pelvis and the 29 bodies that the joints turn, all upright at zero joint angles."""
    return _model()[0]


def g1_axes() -> np.ndarray:
    """The axes (29, 3) of the joints in the robot's own, leaning frames: x for roll, y for pitch, z for yaw."""
    return np.array([_AXES[kind] for *_, kind in _JOINTS])


def g1_local_rot(root_rot: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Local rotations of :func:`g1_skeleton`.

    Args:
        root_rot: (T, 4) wxyz.
        angles: (T, 29) rad, in the order of :data:`G1_JOINTS`.

    Returns:
        (T, 30, 4) wxyz.
    """
    half = 0.5 * angles[..., None]
    turns = np.concatenate((np.cos(half), np.sin(half) * _model()[1]), axis=-1)
    return np.concatenate((root_rot[:, None], turns), axis=1)
