"""Pickled motions of Unitree's G1: GMR's and TWIST's, and ASAP's and PBHC's.

GMR writes one record ``fps, root_pos, root_rot (xyzw), dof_pos, local_body_pos, link_body_list``; ASAP writes, with
joblib, ``{name: {root_trans_offset, pose_aa, dof, root_rot (xyzw), smpl_joints, fps}}``. Many robots have 23 or 29
joints, so a file must prove that its robot is the G1: GMR's by the names of its links, ASAP's by the axes that its
joints turn about; or the option ``source_robot`` says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.fields import frame_rate, numbers, unit_quats
from puffer_phc.motions.formats.g1 import G1_JOINTS, g1_axes, g1_local_rot, g1_skeleton
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.options import G1, SourceOptions
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.source_clip import chosen_rate, source_clip
from puffer_phc.motions.unpickle import read_pickle

_EXPORT = "export it again"
_WITHOUT_WRISTS = [i for i, name in enumerate(G1_JOINTS) if "wrist" not in name]
_AXIS_TOLERANCE = 1e-3


def sniff(path: Path, header: Header) -> bool:
    """A pickle that begins with GMR's keys (ASAP's begin as PHC's do; that reader hands them on)."""
    return header.is_pickle and b"root_pos" in header.start and b"fps" in header.start


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The motion of one of GMR's files on the G1's skeleton; wrists that a file lacks stay level.

    Raises:
        InputError: a damaged or unsafe pickle, or nothing that shows which robot it is for.
    """
    known = complete(path, options)
    record = read_pickle(path)
    if not isinstance(record, dict):
        raise InputError(path, "the pickle holds no motion record", "it must be a dict")
    return [_gmr_clip(path, record, known)]


def is_asap_record(record: object) -> bool:
    """Whether a record is one of ASAP's rather than PHC's."""
    return isinstance(record, dict) and {"dof", "root_rot", "root_trans_offset"} <= record.keys()


def asap_clip(path: Path, name: str, record: dict[str, Any], options: SourceOptions) -> MotionClip:
    """The clip of one of ASAP's records.

    Raises:
        InputError: naming the record and what is wrong with it.
    """
    where = f"{path} (record {name})"
    root_pos = numbers(where, "root_trans_offset", record["root_trans_offset"], (None, 3)).numpy()
    angles = _angles(where, "dof", record["dof"])
    if options.source_robot is None and not _turns_as_the_g1(where, angles, record.get("pose_aa")):
        raise InputError(
            where, "its joints do not turn about the axes of the G1's", f"give --source-robot {G1} if they do"
        )
    return _clip(path, where, root_pos, record["root_rot"], angles, record.get("fps"), options, name)


def _gmr_clip(path: Path, record: dict[str, Any], options: SourceOptions) -> MotionClip:
    missing = [key for key in ("fps", "root_pos", "root_rot", "dof_pos") if key not in record]
    if missing:
        raise InputError(path, f"{', '.join(missing)} missing", _EXPORT)
    root_pos = numbers(path, "root_pos", record["root_pos"], (None, 3)).numpy()
    angles = _angles(path, "dof_pos", record["dof_pos"])
    links = record.get("link_body_list")
    named = isinstance(links, list) and all(link in links for link in ("pelvis", "left_shoulder_pitch_link"))
    if options.source_robot is None and not named:
        raise InputError(path, "it does not name the G1's links", f"give --source-robot {G1} if it is for that robot")
    return _clip(path, path, root_pos, record["root_rot"], angles, record["fps"], options, path.stem)


def _clip(
    path: Path,
    where: str | Path,
    root_pos: np.ndarray,
    root_rot: object,
    angles: np.ndarray,
    fps: object,
    options: SourceOptions,
    name: str,
) -> MotionClip:
    turns = numbers(where, "root_rot", root_rot, (None, 4))
    if not len(root_pos) == len(turns) == len(angles):
        raise InputError(where, f"{len(root_pos)} places, {len(turns)} rotations, {len(angles)} joint rows", _EXPORT)
    quats = unit_quats(where, "root_rot", turns.numpy()[:, [3, 0, 1, 2]])
    rate = chosen_rate(options, lambda: frame_rate(where, "fps", fps))
    local_rot = g1_local_rot(quats, angles)
    return source_clip(path, rate, g1_skeleton(), root_pos, local_rot, G1, options.skip_first or 0, name)


def _angles(where: str | Path, name: str, value: object) -> np.ndarray:
    """(T, 29) rad from the 29 joints, or from the 23 without wrists."""
    angles = numbers(where, name, value, (None, None)).numpy()
    if angles.shape[1] == len(G1_JOINTS):
        return angles
    if angles.shape[1] != len(_WITHOUT_WRISTS):
        raise InputError(where, f"{name} has {angles.shape[1]} joints", "only motions of the G1 with 29 or 23 are read")
    full = np.zeros((len(angles), len(G1_JOINTS)))
    full[:, _WITHOUT_WRISTS] = angles
    return full


def _turns_as_the_g1(where: str, angles: np.ndarray, pose_aa: object) -> bool:
    """Whether the rotation vectors beside the joint angles are those angles about the G1's axes."""
    joints = [i for i in range(len(G1_JOINTS)) if angles[:, i].any()]
    if not isinstance(pose_aa, np.ndarray) or pose_aa.ndim != 3 or not joints:
        return False
    vectors = numbers(where, "pose_aa", pose_aa, (len(angles), None, 3)).numpy()
    for count, among in ((len(G1_JOINTS), range(len(G1_JOINTS))), (len(_WITHOUT_WRISTS), _WITHOUT_WRISTS)):
        if vectors.shape[1] > count:
            expected = angles[:, list(among), None] * g1_axes()[list(among)]
            if np.abs(vectors[:, 1 : 1 + count] - expected).max() < _AXIS_TOLERANCE:
                return True
    return False
