"""AMASS ``.npz`` files: SMPL, SMPL-H and SMPL-X pose parameters, and the many data sets published in their layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from puffer_phc.errors import InputError
from puffer_phc.motions.checks import check_bodies
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.arrays import read_npz, write_npz
from puffer_phc.motions.formats.fields import frame_rate, numbers, same_length
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.smpl_pose import NUM_JOINTS, local_rot_from_pose, pelvis_offset, pose_from_local_rot
from puffer_phc.motions.formats.source_clip import overridden
from puffer_phc.robots.smpl_table import BODY_NAMES

_RATE_KEYS = ("mocap_framerate", "mocap_frame_rate")  # SMPL-H and SMPL-X releases
_KEYS = frozenset(("trans", "poses", "root_orient", "pose_body", *_RATE_KEYS))
_BODY_VALUES = 66  # root and 21 body joints come first in every layout
_POSE_WIDTHS = {3 * NUM_JOINTS: "SMPL", 156: "SMPL-H", 165: "SMPL-X"}


def sniff(path: Path, header: Header) -> bool:
    """Pose parameters by AMASS's names (its shape-only files hold none and are no motions)."""
    return bool({"poses", "pose_body"} & header.arrays)


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The motion of one file at its own frame rate, on the mean body; shape, fingers and face are left out.

    The hands (SMPL's last two joints) are identity unless the file has SMPL's own 24 joints.

    Raises:
        InputError: the frame rate or an array is missing, has a wrong shape, or holds NaN.
    """
    known = complete(path, options)
    data = read_npz(path, _KEYS)
    rate_key = next((key for key in _RATE_KEYS if key in data), None)
    if rate_key is None and known.fps is None:
        raise InputError(
            path,
            "it has no frame rate (neither mocap_framerate nor mocap_frame_rate)",
            "give --fps or add the array mocap_framerate with the recording's frames per second",
        )
    if "trans" not in data:
        raise InputError(path, "the array trans is missing", "it must hold the root translation (T, 3) in metres")
    trans = numbers(path, "trans", data["trans"], (None, 3))
    pose = _pose(path, data)
    same_length(path, trans=trans, poses=pose)
    clip = MotionClip(
        name=path.stem,
        fps=known.fps or frame_rate(path, str(rate_key), data[str(rate_key)]),
        body_names=BODY_NAMES,
        root_pos=trans + pelvis_offset(),
        local_rot=local_rot_from_pose(pose),
        source=str(path),
    )
    return [overridden(clip, known)]


def write(path: str | Path, clip: MotionClip) -> None:
    """Writes ``clip`` in AMASS's layout with SMPL's 24 joints (poses (T, 72) float64), mean neutral shape; atomic.

    Raises:
        InputError: the clip is not one of the SMPL humanoid.
    """
    check_bodies(clip, BODY_NAMES)
    arrays = {
        "trans": (clip.root_pos - pelvis_offset()).cpu().numpy(),
        "poses": pose_from_local_rot(clip.local_rot).flatten(1).cpu().numpy(),
        "betas": np.zeros(16),
        "gender": np.array("neutral"),
        "mocap_framerate": np.array(clip.fps, np.float64),
    }
    write_npz(Path(path), arrays)


def _pose(path: Path, data: dict[str, np.ndarray]) -> Tensor:
    """(T, 24, 3) rad rotation vectors in SMPL's joint order."""
    if "poses" in data:
        poses = data["poses"]
        if poses.ndim != 2 or poses.shape[1] not in _POSE_WIDTHS:
            widths = " or ".join(f"(T, {width}) {name}" for width, name in _POSE_WIDTHS.items())
            raise InputError(path, f"poses has shape {poses.shape}", f"the shape must be {widths}")
        pose = numbers(path, "poses", poses, (None, poses.shape[1]))
        return (pose if pose.shape[1] == 3 * NUM_JOINTS else _without_hands(pose)).unflatten(1, (NUM_JOINTS, 3))
    if "root_orient" not in data:
        raise InputError(path, "the array root_orient is missing beside pose_body", "add it, or poses (T, 165)")
    root = numbers(path, "root_orient", data["root_orient"], (None, 3))
    body = numbers(path, "pose_body", data["pose_body"], (None, _BODY_VALUES - 3))
    same_length(path, root_orient=root, pose_body=body)
    return _without_hands(torch.cat((root, body), dim=1)).unflatten(1, (NUM_JOINTS, 3))


def _without_hands(pose: Tensor) -> Tensor:
    """(T, 72) from (T, >= 66): SMPL-H and SMPL-X continue with finger joints where SMPL has its two hands."""
    return torch.nn.functional.pad(pose[:, :_BODY_VALUES], (0, 3 * NUM_JOINTS - _BODY_VALUES))
