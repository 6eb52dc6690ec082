"""PHC's motion files: a pickle (joblib or plain) of {key: record}; also one bare record per file.

A record holds ``root_trans_offset`` (T, 3) m pelvis in the world, ``pose_quat_global`` (T, 24, 4) xyzw in body order
and upright frames, ``pose_aa`` (T, 72) rad rotation vectors in SMPL's axes and order, ``beta``, ``gender``, ``fps``.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from poselib.rotations import quat_mul, wxyz_to_xyzw, xyzw_to_wxyz
from poselib.skeleton import Skeleton
from puffer_phc.errors import InputError
from puffer_phc.motions.checks import check_bodies
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.arrays import write_atomic
from puffer_phc.motions.formats.fields import frame_rate, numbers, same_length
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.robot_pickle import asap_clip, is_asap_record
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.smpl_pose import NUM_JOINTS, UPRIGHT, local_rot_from_pose, pose_from_local_rot
from puffer_phc.motions.formats.source_clip import chosen_rate, overridden
from puffer_phc.motions.unpickle import read_pickle
from puffer_phc.robots.smpl_table import BODY_NAMES, PARENTS, SMPL_BODIES

_POSE_KEYS = ("pose_quat_global", "pose_aa")
_RECORD_KEYS = frozenset(("root_trans_offset", *_POSE_KEYS))
_MARKS = tuple(key.encode() for key in ("root_trans_offset", "trans_orig", "pose_quat", *_POSE_KEYS))
_EXPORT = "export it again in PHC's layout"
_SKELETON = Skeleton(BODY_NAMES, PARENTS, torch.tensor([row.pos for row in SMPL_BODIES], dtype=torch.float64))
_ZLIB_LEVEL = 3  # joblib's own choice


def sniff(path: Path, header: Header) -> bool:
    """A pickle whose first bytes name one of PHC's arrays."""
    return header.is_pickle and any(mark in header.start for mark in _MARKS)


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The clips of one file, in its order, named by their keys (a bare record: by the file).

    ``pose_quat_global`` is used where present, ``pose_aa`` otherwise. Records of ASAP's, which look alike but hold a
    robot's joint angles, are read as such.

    Raises:
        InputError: a damaged or unsafe pickle, no records, or a record that lacks something.
    """
    known = complete(path, options)
    content = read_pickle(path)
    if isinstance(content, dict) and _RECORD_KEYS & content.keys():
        content = {path.stem: content}
    if not isinstance(content, dict) or not content:
        raise InputError(path, "the pickle holds no motion records", "it must be a dict of {name: record}")
    return [
        asap_clip(path, str(key), record, known)
        if is_asap_record(record)
        else overridden(_clip(path, key, record, known), known)
        for key, record in content.items()
    ]


def write(path: str | Path, clips: Sequence[MotionClip]) -> None:
    """Writes ``clips`` as PHC's converter does: readable by ``joblib.load`` and, once inflated, by ``pickle.load``.

    Raises:
        InputError: no clips, equal names, or a clip that is not one of the SMPL humanoid.
    """
    path = Path(path)
    if not clips or len({clip.name for clip in clips}) < len(clips):
        raise InputError(path, "there are no clips to write or two have the same name", "give clips with unique names")
    for clip in clips:
        check_bodies(clip, BODY_NAMES)
    # Protocol 3 spells names out, one per line. NumPy 1, which PHC needs, knows this one only by its old module name,
    # under which NumPy 2 still finds it.
    content = pickle.dumps({clip.name: _record(clip) for clip in clips}, protocol=3)
    content = content.replace(b"cnumpy._core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\n_reconstruct\n")

    def write_to(file: IO[bytes]) -> None:
        file.write(zlib.compress(content, _ZLIB_LEVEL))

    write_atomic(path, write_to)


def _clip(path: Path, key: object, record: object, known: SourceOptions) -> MotionClip:
    where = f"{path} (record {key})"
    if not isinstance(key, str) or not isinstance(record, dict):
        raise InputError(where, "it is not a named record", "the file must be a dict of {name: record}")
    told = {"fps"} if known.fps or known.override_fps else set()
    missing = [name for name in ("root_trans_offset", "fps") if name not in record.keys() | told]
    if not any(name in record for name in _POSE_KEYS):
        missing.append("pose_quat_global or pose_aa")
    if missing:
        raise InputError(where, f"{' and '.join(missing)} missing", _EXPORT)
    root_pos = numbers(where, "root_trans_offset", record["root_trans_offset"], (None, 3))
    local_rot = _local_rot(where, record)
    same_length(where, root_trans_offset=root_pos, poses=local_rot)
    return MotionClip(
        name=key,
        fps=chosen_rate(known, lambda: frame_rate(where, "fps", record.get("fps"))),
        body_names=BODY_NAMES,
        root_pos=root_pos,
        local_rot=local_rot,
        source=str(path),
    )


def _local_rot(where: str, record: dict) -> Tensor:
    """(T, 24, 4) wxyz local rotations of a record."""
    from_pose = local_rot_from_pose(_pose(where, record["pose_aa"])) if "pose_aa" in record else None
    if "pose_quat_global" not in record:
        assert from_pose is not None
        return from_pose
    xyzw = numbers(where, "pose_quat_global", record["pose_quat_global"], (None, NUM_JOINTS, 4))
    global_rot = xyzw_to_wxyz(xyzw)
    # PHC can also be told to keep SMPL's own frames; such a file differs from its pose_aa by U and by nothing else.
    if from_pose is not None and from_pose.shape == global_rot.shape:
        smpl_frames = quat_mul(global_rot[:, 0], UPRIGHT)
        if ((smpl_frames * from_pose[:, 0]).sum(-1).abs() > 1 - 1e-6).all():
            return from_pose
    return _SKELETON.global_to_local(global_rot)


def _pose(where: str, value: object) -> Tensor:
    """(T, 24, 3) from (T, 72) or (T, 24, 3)."""
    if isinstance(value, np.ndarray) and value.ndim == 3:
        return numbers(where, "pose_aa", value, (None, NUM_JOINTS, 3))
    return numbers(where, "pose_aa", value, (None, 3 * NUM_JOINTS)).unflatten(1, (NUM_JOINTS, 3))


def _record(clip: MotionClip) -> dict[str, object]:
    local_rot = clip.local_rot.detach().cpu().double()
    return {
        "pose_quat_global": wxyz_to_xyzw(_SKELETON.local_to_global(local_rot)).numpy(),
        "pose_aa": pose_from_local_rot(local_rot).flatten(1).numpy(),
        # A tensor, as in PHC's files; cloned, because pickling a view stores all that it views.
        "root_trans_offset": clip.root_pos.detach().cpu().double().clone(),
        "beta": np.zeros(16),
        "gender": "neutral",
        "fps": int(clip.fps) if clip.fps.is_integer() else clip.fps,
    }
