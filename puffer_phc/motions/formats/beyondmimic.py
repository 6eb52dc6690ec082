"""Motions of Unitree's G1: the ``.csv`` of Unitree's retargeted LAFAN1 set, and BeyondMimic's ``.npz`` made of it.

A csv line is the root's place (m), its quaternion xyzw and the 29 joint angles; there is no heading and no frame rate.
The npz has joint angles and, in the world, the place and quaternion (wxyz) of every body, but no names; the order of
its joints is believed only if it puts the bodies where the file says they are.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.arrays import read_npz
from puffer_phc.motions.formats.fields import frame_rate, numbers, same_length, unit_quats
from puffer_phc.motions.formats.g1 import G1_JOINTS, breadth_first_joints, g1_local_rot, g1_skeleton
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.source_clip import chosen_rate, no_rate, source_clip
from puffer_phc.motions.formats.text import first_row, parse_table, read_text

_WIDTH = 7 + len(G1_JOINTS)
_KEYS = frozenset(("fps", "joint_pos", "body_pos_w", "body_quat_w"))
_RATE_HINT = " (Unitree's LAFAN1 files have 30)"
_TOLERANCE = 0.03  # m; revisions of the model differ by millimetres
_CHECKED_FRAMES = 16


def sniff(path: Path, header: Header) -> bool:
    """The npz by its arrays, the csv by 36 columns whose fourth to seventh are a unit quaternion."""
    if header.is_zip:
        return header.arrays >= _KEYS
    row = None if header.compression else first_row(header.start)
    return row is not None and len(row) == _WIDTH and abs(math.hypot(*row[3:7]) - 1.0) < 1e-2


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The motion of one file on the G1's skeleton.

    Raises:
        InputError: a damaged file, a robot with other joints, or a csv without a known frame rate.
    """
    known = complete(path, options)
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    fps, root_pos, root_rot, angles = _read_npz(path, known) if is_zip else _read_csv(path, known)
    local_rot = g1_local_rot(root_rot, angles)
    return [source_clip(path, fps, g1_skeleton(), root_pos, local_rot, "unitree_g1", known.skip_first or 0)]


def _read_csv(path: Path, options: SourceOptions) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Frame rate, root places (T, 3), root rotations (T, 4) wxyz, joint angles (T, 29)."""
    table = parse_table(path, read_text(path), _WIDTH)
    fps = chosen_rate(options, no_rate(path, _RATE_HINT))
    return fps, table[:, :3], unit_quats(path, "root rotation", table[:, [6, 3, 4, 5]]), table[:, 7:]


def _read_npz(path: Path, options: SourceOptions) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    data = read_npz(path, _KEYS)
    missing = sorted(_KEYS - data.keys())
    if missing:
        raise InputError(path, f"the arrays {', '.join(missing)} are missing", "export it again")
    angles = numbers(path, "joint_pos", data["joint_pos"], (None, len(G1_JOINTS)))
    bodies = len(G1_JOINTS) + 1
    body_pos = numbers(path, "body_pos_w", data["body_pos_w"], (None, bodies, 3))
    body_rot = numbers(path, "body_quat_w", data["body_quat_w"], (None, bodies, 4))
    same_length(path, joint_pos=angles, body_pos_w=body_pos, body_quat_w=body_rot)
    if not len(angles):
        raise InputError(path, "it has no frames", "export it again")
    fps = chosen_rate(options, lambda: frame_rate(path, "fps", data["fps"]))
    root_rot = unit_quats(path, "body_quat_w", body_rot[:, 0].numpy())
    root_pos = body_pos[:, 0].numpy()
    return fps, root_pos, root_rot, _in_tree_order(path, angles.numpy(), root_rot, body_pos)


def _in_tree_order(path: Path, angles: np.ndarray, root_rot: np.ndarray, body_pos: torch.Tensor) -> np.ndarray:
    """Joint angles in the order of :data:`G1_JOINTS`, from that order or Isaac Lab's, whichever fits the bodies."""
    some = np.linspace(0, len(angles) - 1, min(_CHECKED_FRAMES, len(angles))).astype(int)
    worst = {}
    for order in (breadth_first_joints(), tuple(range(len(G1_JOINTS)))):
        back = np.argsort(order)
        local_rot = torch.from_numpy(g1_local_rot(root_rot[some], angles[some][:, back]))
        derived, _ = g1_skeleton().forward_kinematics(body_pos[some, 0], local_rot)
        listed = derived[:, [0, *(1 + joint for joint in order)]]
        worst[order] = float((listed - body_pos[some]).norm(dim=-1).max())
        if worst[order] < _TOLERANCE:
            return angles[:, back]
    raise InputError(
        path,
        f"its joints do not put the G1's bodies where body_pos_w has them ({min(worst.values()):.2f} m off)",
        "only motions of the G1 with 29 joints can be read",
    )
