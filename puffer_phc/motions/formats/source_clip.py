"""The last step of every reader of foreign skeletons: arrays in the file's terms become a clip in ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from poselib.skeleton import Skeleton
from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.axes import turn_rotations, turn_vectors
from puffer_phc.motions.formats.options import SourceOptions

_FARTHEST = 1e5  # m; single precision is good to a centimetre there
_LONGEST = 100.0  # m
_REPAIR = "give --unit, or repair or drop the clip"


def source_clip(
    path: Path,
    fps: float,
    skeleton: Skeleton,
    root_pos: np.ndarray,
    local_rot: np.ndarray,
    rig: str,
    skip_first: int = 0,
    name: str | None = None,
) -> MotionClip:
    """The clip of a file on its own skeleton.

    Args:
        path: the file.
        fps: frames per second.
        skeleton: B bodies, in metres, z up, facing +x.
        root_pos: (T, 3) m in our axes.
        local_rot: (T, B, 4) wxyz in our axes, identity in the rest pose.
        rig: name of the recognised rig, or empty.
        skip_first: frames to leave out at the beginning.
        name: the clip's name in the file; by default it has the file's.

    Raises:
        InputError: no frames are left, or numbers that no motion has.
    """
    if skip_first >= len(root_pos):
        raise InputError(
            path, f"{len(root_pos)} frames, of which the first {skip_first} are to be left out", "lower --skip-first"
        )
    if not (np.abs(root_pos) < _FARTHEST).all() or not np.isfinite(local_rot).all():
        raise InputError(path, f"its root is {_FARTHEST:g} m away or its angles are too large", _REPAIR)
    return MotionClip(
        name=path.stem if name is None else name,
        fps=fps,
        body_names=skeleton.names,
        root_pos=torch.from_numpy(np.ascontiguousarray(root_pos[skip_first:], np.float64)),
        local_rot=torch.from_numpy(np.ascontiguousarray(local_rot[skip_first:], np.float64)),
        source=str(path),
        skeleton=skeleton,
        rig=rig,
    )


def turned_skeleton(
    path: Path, names: Sequence[str], parents: Sequence[int], offsets: np.ndarray, change: np.ndarray, unit: float
) -> Skeleton:
    """A skeleton given in a file's unit and axes, in ours.

    Raises:
        InputError: the names are not unique or the offsets not finite.
    """
    metres = turn_vectors(change, offsets) * unit
    if not (np.abs(metres) < _LONGEST).all():
        raise InputError(path, f"a bone is longer than {_LONGEST:g} m", "give --unit or export the file again")
    try:
        return Skeleton(tuple(names), tuple(parents), torch.from_numpy(metres))
    except ValueError as error:
        raise InputError(path, str(error), "export the file again") from error


def turned_motion(
    change: np.ndarray, unit: float, root_pos: np.ndarray, local_rot: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Root positions (T, 3) and local rotations (T, B, 4) in our axes and metres."""
    return turn_vectors(change, root_pos) * unit, turn_rotations(change, local_rot)


def chosen_rate(options: SourceOptions, stated: Callable[[], float]) -> float:
    """The frame rate that is told against the file, else the file's, else the one told for files without.

    Args:
        options: what is known about the file.
        stated: the file's own rate; it raises InputError where the file has none or an impossible one.

    Raises:
        InputError: nobody tells a rate.
    """
    if options.override_fps is not None:
        return options.override_fps
    try:
        return stated()
    except InputError:
        if options.fps is None:
            raise
        return options.fps


def no_rate(path: Path, hint: str = "") -> Callable[[], float]:
    """What a file without a frame rate says in :func:`chosen_rate`; ``hint`` goes behind the option's name."""

    def stated() -> float:
        raise InputError(path, "the file has no frame rate", f"give --fps{hint}")

    return stated


def overridden(clip: MotionClip, options: SourceOptions) -> MotionClip:
    """A clip of a self-describing format with what the user knows better: its frame rate, frames to leave out.

    Raises:
        InputError: no frames are left.
    """
    skip = options.skip_first or 0
    if skip >= clip.num_frames > 0:
        raise InputError(
            clip.source, f"{clip.num_frames} frames, of which the first {skip} are to be left out", "lower --skip-first"
        )
    fps = clip.fps if options.override_fps is None else options.override_fps
    return replace(clip, fps=fps, root_pos=clip.root_pos[skip:], local_rot=clip.local_rot[skip:])
