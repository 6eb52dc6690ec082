"""MimicKit's motions: a plain pickle of ``fps``, ``loop_mode`` and ``frames``; z up, facing +x, metres.

A frame is a row of numbers: the root's place, its rotation vector, then the joints depth first, a rotation vector for
ball joints and an angle for hinges. Which body it is made for only shows in the length of a row, so only rows of known
bodies are read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.axes import euler_to_quat, exp_map_to_quat
from puffer_phc.motions.formats.fields import frame_rate, number_rows
from puffer_phc.motions.formats.g1 import G1_JOINTS, g1_local_rot, g1_skeleton
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.known_skeletons import mimickit_humanoid_skeleton
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.source_clip import chosen_rate, overridden, source_clip
from puffer_phc.motions.unpickle import read_pickle
from puffer_phc.robots.smpl_table import BODY_NAMES

_MARKS = (b"loop_mode", b"frames", b"fps")
_LOOPING = ("1", "wrap")  # of loop_mode; 0 is the end
_ROOT = 6
_SMPL_WIDTH = _ROOT + 3 * (len(BODY_NAMES) - 1)
# The humanoid's joints in the order of its body tree; elbows turn about z (its arms are level at rest), knees about y.
_HUMANOID_JOINTS = (
    ("torso", ""),
    ("head", ""),
    ("right_upper_arm", ""),
    ("right_lower_arm", "z"),
    ("left_upper_arm", ""),
    ("left_lower_arm", "z"),
    ("right_thigh", ""),
    ("right_shin", "y"),
    ("right_foot", ""),
    ("left_thigh", ""),
    ("left_shin", "y"),
    ("left_foot", ""),
)
_HUMANOID_WIDTH = _ROOT + sum(1 if axis else 3 for _, axis in _HUMANOID_JOINTS)
_G1_WIDTH = _ROOT + len(G1_JOINTS)


def sniff(path: Path, header: Header) -> bool:
    """A pickle that begins with these three keys."""
    return header.is_pickle and all(mark in header.start for mark in _MARKS)


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The motion of one file: on our own SMPL bodies, or on MimicKit's humanoid or Unitree's G1 as foreign skeletons.

    Raises:
        InputError: a damaged or unsafe pickle, or rows of no known body.
    """
    known = complete(path, options)
    content = read_pickle(path)
    if not isinstance(content, dict) or not {"fps", "frames"} <= content.keys():
        raise InputError(path, "the pickle has no fps or no frames", "export it again with MimicKit")
    return [replace(_clip(path, content, known), loops=str(content.get("loop_mode")) in _LOOPING)]


def _clip(path: Path, content: dict[Any, Any], known: SourceOptions) -> MotionClip:
    rows = number_rows(path, "frames", content["frames"])
    fps = chosen_rate(known, lambda: frame_rate(path, "fps", content["fps"]))
    root_pos, root_rot = rows[:, :3], exp_map_to_quat(rows[:, 3:_ROOT])
    joints = rows[:, _ROOT:]
    if rows.shape[1] == _SMPL_WIDTH:
        return overridden(_smpl_clip(path, fps, root_pos, root_rot, joints), known)
    if rows.shape[1] == _HUMANOID_WIDTH:
        local_rot, skeleton = _humanoid_local_rot(root_rot, joints), mimickit_humanoid_skeleton()
    elif rows.shape[1] == _G1_WIDTH:
        local_rot, skeleton = g1_local_rot(root_rot, joints), g1_skeleton()
    else:
        raise InputError(
            path,
            f"its rows have {rows.shape[1]} numbers, those of no body known here",
            f"known are {_SMPL_WIDTH} (SMPL), {_HUMANOID_WIDTH} (humanoid) and {_G1_WIDTH} (Unitree G1)",
        )
    rig = "mimickit_humanoid" if rows.shape[1] == _HUMANOID_WIDTH else "unitree_g1"
    return source_clip(path, fps, skeleton, root_pos, local_rot, rig, known.skip_first or 0)


def _smpl_clip(path: Path, fps: float, root_pos: np.ndarray, root_rot: np.ndarray, joints: np.ndarray) -> MotionClip:
    """MimicKit's SMPL humanoid has our bodies in our order and frames."""
    vectors = joints.reshape(len(joints), len(BODY_NAMES) - 1, 3)
    local_rot = np.concatenate((root_rot[:, None], exp_map_to_quat(vectors)), axis=1)
    return MotionClip(
        name=path.stem,
        fps=fps,
        body_names=BODY_NAMES,
        root_pos=torch.from_numpy(root_pos.copy()),
        local_rot=torch.from_numpy(local_rot),
        source=str(path),
        rig="mimickit_smpl",
    )


def _humanoid_local_rot(root_rot: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(T, 15, 4) wxyz."""
    skeleton = mimickit_humanoid_skeleton()
    local_rot = np.zeros((len(joints), len(skeleton), 4))
    local_rot[..., 0] = 1.0
    local_rot[:, 0] = root_rot
    column = 0
    for name, axis in _HUMANOID_JOINTS:
        width = 1 if axis else 3
        values = joints[:, column : column + width]
        local_rot[:, skeleton.index(name)] = euler_to_quat(axis, values) if axis else exp_map_to_quat(values)
        column += width
    return local_rot
