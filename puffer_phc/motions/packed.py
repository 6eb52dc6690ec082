"""Data sets of many hours in one file, ready to use: frames packed compactly, memory-mapped when opened.

The file is a torch archive of plain tensors and strings, read without running any code.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.library import ClipIndex, HeightFix, MotionLibrary, grounded_frames
from puffer_phc.motions.tables import CompactTable
from puffer_phc.robots.robot import Robot

SUFFIX = ".motions.pt"
_FORMAT, _VERSION = "puffer_phc.motions", 1
_DTYPES = {
    "root_pos": torch.float32,
    "local_rot": torch.int16,
    "vel": torch.float16,
    "ang_vel": torch.float16,
    "last": torch.bool,
}
_REMEDY = "make it again with scripts/pack_motions.py"
_CHUNK = 1 << 18  # frames that are checked at a time


def is_packed(path: str | Path) -> bool:
    """Whether ``path`` is to be opened by :func:`open_packed`."""
    return str(path).endswith(SUFFIX)


def write_packed(path: Path, clips: Iterable[MotionClip], robot: Robot, height_fix: HeightFix) -> ClipIndex:
    """Pack ``clips``, put on the floor, into the file ``path``, atomically; clips may be read one after the other.

    Raises:
        InputError: there are no clips, one is not of the robot's bodies, or the file cannot be written.
    """
    names, num_frames, fps, parts = [], [], [], []
    for clip in clips:
        parts.append(CompactTable.pack(grounded_frames(clip, robot, height_fix)))
        names.append(clip.name)
        num_frames.append(clip.num_frames)
        fps.append(clip.fps)
    if not parts:
        raise InputError(path, "there is no clip to pack", "give a folder with motions of the robot")
    index = ClipIndex(tuple(names), torch.tensor(num_frames), torch.tensor(fps, dtype=torch.float32))
    document = {
        "format": _FORMAT,
        "version": _VERSION,
        "robot": robot.name,
        "body_names": list(robot.body_names),
        "height_fix": height_fix,
        "names": names,
        "num_frames": index.num_frames,
        "fps": index.fps,
        "arrays": {name: torch.cat([part[name] for part in parts]) for name in _DTYPES},
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(document, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch wraps write errors of its archive in RuntimeError
        temporary.unlink(missing_ok=True)
        raise InputError(path, f"cannot be written ({str(error)[:120]})", "check the folder and its space") from None
    return index


def open_packed(
    path: str | Path,
    robot: Robot,
    device: torch.device,
    rank: int = 0,
    ranks: int = 1,
    names: Sequence[str] | None = None,
) -> MotionLibrary:
    """The library in a packed file; on a CPU its frames stay in the file until they are looked up.

    Args:
        path: a file of :func:`write_packed`.
        robot: must have the bodies that the file was made for.
        device: where the library lives.
        rank, ranks: every ``ranks``-th clip from ``rank`` on is taken.
        names: only these clips, in this order; white space in names counts as one blank.

    Raises:
        InputError: the file is missing, damaged, of another robot, lacks a clip, or there are fewer than ranks.
    """
    data = _read(Path(path))
    if data.get("body_names") != list(robot.body_names):
        raise InputError(path, f"is packed for robot {data.get('robot')!r}, not {robot.name!r}", _REMEDY)
    index, arrays = _checked(Path(path), data, robot)
    which = list(range(len(index.names))) if names is None else _places(path, index, names)
    if len(which) < ranks:
        raise InputError(path, f"{len(which)} clips cannot be shared among {ranks} ranks", "use fewer ranks")
    if ranks > 1 or names is not None:
        index, arrays = _only(index, arrays, which[rank::ranks])
    return MotionLibrary.of_table(index, CompactTable(arrays, robot, device), device)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(path, "there is no such file", "check the path")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises many types on damaged bytes
        raise InputError(path, f"is no readable archive ({str(error).splitlines()[0][:120]})", _REMEDY) from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise InputError(path, "is no packed data set of this program", _REMEDY)
    if data.get("version") != _VERSION:
        raise InputError(path, f"has version {data.get('version')!r}, this program reads {_VERSION}", _REMEDY)
    return data


def _checked(path: Path, data: dict[str, Any], robot: Robot) -> tuple[ClipIndex, dict[str, Tensor]]:
    """Index and arrays, if they fit together and every number is finite."""
    names, num_frames, fps, arrays = (data.get(key) for key in ("names", "num_frames", "fps", "arrays"))
    if not (
        isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and isinstance(num_frames, Tensor)
        and isinstance(fps, Tensor)
        and isinstance(arrays, dict)
        and num_frames.shape == fps.shape == (len(names),)
        and num_frames.dtype == torch.int64
        and fps.dtype == torch.float32
        and len(names) > 0
    ):
        raise InputError(path, "its table of clips is damaged", _REMEDY)
    if int(num_frames.min()) < 2 or not bool(((fps >= 0.1) & (fps <= 1e4)).all()):
        raise InputError(path, "a clip has fewer than two frames or an impossible frame rate", _REMEDY)
    frames, bodies = int(num_frames.sum()), robot.num_bodies
    shapes = {"root_pos": (3,), "local_rot": (4 * bodies,), "vel": (3 * bodies,), "ang_vel": (3 * bodies,), "last": ()}
    for name, dtype in _DTYPES.items():
        array = arrays.get(name)
        if not isinstance(array, Tensor) or array.dtype != dtype or array.shape != (frames, *shapes[name]):
            raise InputError(path, f"its array {name} is missing, or of another shape or type than it must be", _REMEDY)
        if dtype.is_floating_point and not all(bool(part.isfinite().all()) for part in array.split(_CHUNK)):
            raise InputError(path, f"its array {name} holds NaN or infinite values", _REMEDY)
    ends = num_frames.cumsum(0) - 1
    if not (arrays["last"][ends].all() and int(arrays["last"].sum()) == len(names)):
        raise InputError(path, "its clips do not end where its table says", _REMEDY)
    return ClipIndex(tuple(names), num_frames, fps), {name: arrays[name] for name in _DTYPES}


def _places(path: str | Path, index: ClipIndex, names: Sequence[str]) -> list[int]:
    """Where the clips called ``names`` are."""
    known = {" ".join(name.split()): place for place, name in enumerate(index.names)}
    for name in names:
        if name not in known:
            raise InputError(path, f"it has no clip {name!r}", f"it has {', '.join(list(known)[:5])}, ...")
    return [known[name] for name in names]


def _only(index: ClipIndex, arrays: dict[str, Tensor], which: Sequence[int]) -> tuple[ClipIndex, dict[str, Tensor]]:
    """Some clips, copied out of the file."""
    ends = index.num_frames.cumsum(0).tolist()
    spans = [slice(end - count, end) for end, count in zip(ends, index.num_frames.tolist(), strict=True)]
    chosen = {name: torch.cat([array[spans[clip]] for clip in which]) for name, array in arrays.items()}
    clips = torch.tensor(which)
    return ClipIndex(tuple(index.names[clip] for clip in which), index.num_frames[clips], index.fps[clips]), chosen
