"""The project's own motion format: one ``.npz`` with one or many clips, packed end to end.

Arrays (N clips of the same B bodies, F frames in all):

| name | type | content |
|---|---|---|
| ``format`` | text | ``puffer_phc.motion`` |
| ``schema_version`` | int | 1 |
| ``name`` | (N,) text | clip names, unique |
| ``fps`` | (N,) float64 | frames per second |
| ``frame_start`` | (N + 1,) int64 | clip i has the frames frame_start[i] up to frame_start[i + 1] |
| ``body_names`` | (B,) text | bodies in the robot's order, the root first |
| ``root_pos`` | (F, 3) float32 | m, world, z up |
| ``local_rot`` | (F, B, 4) float32 | wxyz, in the parent's frame (the root: in the world) |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.arrays import read_npz, write_npz
from puffer_phc.motions.formats.fields import frame_rate, numbers, same_length
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.source_clip import overridden

FORMAT = "puffer_phc.motion"
SCHEMA_VERSION = 1

_KEYS = ("format", "schema_version", "name", "fps", "frame_start", "body_names", "root_pos", "local_rot")
_REWRITE = "write it again with this package's npz writer"


def sniff(path: Path, header: Header) -> bool:
    """The file says that it is ours (other ``.npz`` motions have neither of these names)."""
    return {"format", "schema_version"} <= header.arrays


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The clips of one file, as stored: float32 precision, quaternions not renormalised.

    Raises:
        InputError: not this format, a newer version of it, or arrays that do not fit together.
    """
    known = complete(path, options)
    data = read_npz(path, frozenset(_KEYS))
    _check_version(path, data)
    missing = [key for key in _KEYS if key not in data]
    if missing:
        raise InputError(path, f"the arrays {', '.join(missing)} are missing", _REWRITE)
    names, body_names = _texts(path, "name", data["name"]), _texts(path, "body_names", data["body_names"])
    if len(set(names)) < len(names) or not names:
        raise InputError(path, "clip names are missing or not unique", _REWRITE)
    root_pos = numbers(path, "root_pos", data["root_pos"], (None, 3))
    local_rot = numbers(path, "local_rot", data["local_rot"], (None, len(body_names), 4))
    same_length(path, root_pos=root_pos, local_rot=local_rot)
    fps, bounds = data["fps"], _bounds(path, data["frame_start"], len(names), len(root_pos))
    if fps.shape != (len(names),):
        raise InputError(path, f"fps has shape {fps.shape} for {len(names)} clips", _REWRITE)
    clips = [
        MotionClip(
            name=name,
            fps=frame_rate(path, f"fps of {name}", fps[i]),
            body_names=body_names,
            root_pos=root_pos[bounds[i] : bounds[i + 1]],
            local_rot=local_rot[bounds[i] : bounds[i + 1]],
            source=str(path),
        )
        for i, name in enumerate(names)
    ]
    return [overridden(clip, known) for clip in clips]


def write(path: str | Path, clips: Sequence[MotionClip]) -> None:
    """Writes ``clips`` into one file, atomically; equal clips give equal bytes.

    Raises:
        InputError: no clips, clips of different bodies or on foreign skeletons, or two clips of the same name.
    """
    path = Path(path)
    if not clips:
        raise InputError(path, "there are no clips to write", "give at least one")
    if any(clip.skeleton is not None for clip in clips):
        raise InputError(path, "a clip moves a skeleton of its own", "retarget it with scripts/convert_motions.py")
    if len({clip.body_names for clip in clips}) > 1:
        raise InputError(path, "the clips have different bodies", "write one file per body")
    names = [clip.name for clip in clips]
    if len(set(names)) < len(names):
        raise InputError(path, "two clips have the same name", "rename one")
    arrays = {
        "format": np.array(FORMAT),
        "schema_version": np.array(SCHEMA_VERSION, np.int64),
        "name": np.array(names),
        "fps": np.array([clip.fps for clip in clips], np.float64),
        "frame_start": np.cumsum([0] + [clip.num_frames for clip in clips], dtype=np.int64),
        "body_names": np.array(clips[0].body_names),
        "root_pos": torch.cat([clip.root_pos for clip in clips]).float().cpu().numpy(),
        "local_rot": torch.cat([clip.local_rot for clip in clips]).float().cpu().numpy(),
    }
    write_npz(path, arrays)


def _check_version(path: Path, data: dict[str, np.ndarray]) -> None:
    kind, version = data.get("format"), data.get("schema_version")
    if kind is None or kind.shape != () or str(kind) != FORMAT:
        raise InputError(path, "it is not a puffer_phc.motion file", "convert it with a reader for its format")
    if version is None or version.shape != () or version.dtype.kind not in "iu":
        raise InputError(path, "schema_version is missing or no integer", _REWRITE)
    if int(version) > SCHEMA_VERSION:
        raise InputError(
            path, f"it has schema_version {int(version)}, newer than {SCHEMA_VERSION}", "update puffer-phc to read it"
        )
    if int(version) < 1:
        raise InputError(path, f"schema_version {int(version)} never existed", _REWRITE)


def _texts(path: Path, key: str, array: np.ndarray) -> tuple[str, ...]:
    if array.ndim != 1 or array.dtype.kind != "U":
        raise InputError(path, f"{key} is no list of texts", _REWRITE)
    return tuple(str(text) for text in array)


def _bounds(path: Path, frame_start: np.ndarray, num_clips: int, num_frames: int) -> list[int]:
    good = frame_start.shape == (num_clips + 1,) and frame_start.dtype.kind in "iu"
    bounds = frame_start.tolist() if good else []
    if not good or bounds[0] != 0 or bounds[-1] != num_frames or sorted(bounds) != bounds:
        raise InputError(path, "frame_start does not divide the frames among the clips", _REWRITE)
    return bounds
