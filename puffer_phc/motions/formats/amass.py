"""AMASS ``.npz`` files: SMPL, SMPL-H and SMPL-X pose parameters, and the many data sets published in their layout."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from puffer_phc.errors import InputError
from puffer_phc.motions.checks import check_bodies
from puffer_phc.motions.clip import SMPL_GENDERS, SMPL_MODELS, BodyShape, MotionClip
from puffer_phc.motions.formats.arrays import read_npz, write_npz
from puffer_phc.motions.formats.fields import frame_rate, numbers, same_length
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.smpl_pose import NUM_JOINTS, local_rot_from_pose, pelvis_offset, pose_from_local_rot
from puffer_phc.motions.formats.source_clip import chosen_rate, overridden
from puffer_phc.robots.smpl_table import BODY_NAMES

_RATE_KEYS = ("mocap_framerate", "mocap_frame_rate")  # SMPL-H and SMPL-X releases
_KEYS = frozenset(("trans", "poses", "root_orient", "pose_body", *_RATE_KEYS))
_SHAPE_KEYS = ("betas", "gender", "surface_model_type")
_BODY_VALUES = 66  # root and 21 body joints come first in every layout
_POSE_WIDTHS = {3 * NUM_JOINTS: "smpl", 156: "smplh", 165: "smplx"}


def sniff(path: Path, header: Header) -> bool:
    """Pose parameters by AMASS's names (its shape-only files hold none and are no motions)."""
    return bool({"poses", "pose_body"} & header.arrays)


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The motion of one file at its own frame rate, on the mean body; fingers and face are left out.

    Whose body it is comes along in ``shape``, for :mod:`puffer_phc.motions.body_shape`.
    The hands (SMPL's last two joints) are identity unless the file has SMPL's own 24 joints.

    Raises:
        InputError: the frame rate or an array is missing, has a wrong shape, or holds NaN.
    """
    known = complete(path, options)
    data = read_npz(path, _KEYS)
    fps = chosen_rate(known, lambda: _frame_rate(path, data))
    if "trans" not in data:
        raise InputError(path, "the array trans is missing", "it must hold the root translation (T, 3) in metres")
    trans = numbers(path, "trans", data["trans"], (None, 3))
    pose = _pose(path, data)
    same_length(path, trans=trans, poses=pose)
    clip = MotionClip(
        name=path.stem,
        fps=fps,
        body_names=BODY_NAMES,
        root_pos=trans + pelvis_offset(),
        local_rot=local_rot_from_pose(pose),
        source=str(path),
        shape=_shape(path, data),
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


def _frame_rate(path: Path, data: dict[str, np.ndarray]) -> float:
    """Frames per second by either of its names."""
    key = next((key for key in _RATE_KEYS if key in data), None)
    if key is None:
        raise InputError(
            path,
            "it has no frame rate (neither mocap_framerate nor mocap_frame_rate)",
            "give --fps or add the array mocap_framerate with the recording's frames per second",
        )
    return frame_rate(path, key, data[key])


def _shape(path: Path, data: dict[str, np.ndarray]) -> BodyShape | None:
    """The subject's body; what is wrong with it must not keep anybody from the motion."""
    width = data["poses"].shape[1] if "poses" in data else None
    told: dict[str, np.ndarray] = {}
    for key in _SHAPE_KEYS:
        with suppress(InputError):
            told |= read_npz(path, frozenset((key,)))
    if "betas" not in told:
        return None
    model, gender = (_word(told.get(name)) for name in ("surface_model_type", "gender"))
    if model not in _POSE_WIDTHS.values():
        model = "smplx" if width is None else _POSE_WIDTHS[width]
    betas = told["betas"]
    if betas.ndim == 2 and len(betas) and (betas == betas[:1]).all():
        betas = betas[0]  # some data sets repeat them for every frame
    usable = betas.ndim == 1 and betas.dtype.kind in "fiu" and bool(np.isfinite(betas).all())
    values = tuple(float(value) for value in betas) if usable else ()
    return BodyShape(model, gender if gender in SMPL_GENDERS else "", values)


def _word(value: np.ndarray | None) -> str:
    """A text out of an array of one (bytes or characters), lower case; empty for anything else."""
    if value is None or value.size != 1 or value.dtype.kind not in "SU":
        return ""
    text = value.reshape(()).item()
    return (text.decode("latin-1") if isinstance(text, bytes) else str(text)).lower()


def _pose(path: Path, data: dict[str, np.ndarray]) -> Tensor:
    """(T, 24, 3) rad rotation vectors in SMPL's joint order."""
    if "poses" in data:
        poses = data["poses"]
        if poses.ndim != 2 or poses.shape[1] not in _POSE_WIDTHS:
            widths = " or ".join(f"(T, {width}) {SMPL_MODELS[name]}" for width, name in _POSE_WIDTHS.items())
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
