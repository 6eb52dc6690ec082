"""DeepMimic's text motions: JSON with one row of 44 numbers per frame, y up, metres, the character facing +x.

A row is the frame's duration (s), the root's place, then rotations: quaternions wxyz for the root and for ball joints,
angles for knees and elbows. The skeleton is not in the file; it is always DeepMimic's humanoid.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.axes import change_of_axes, euler_to_quat
from puffer_phc.motions.formats.fields import number_rows, unit_quats
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.known_skeletons import deepmimic_skeleton
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.source_clip import chosen_rate, source_clip, turned_motion
from puffer_phc.motions.formats.text import read_text

_MARK = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{(?:[^{}]*?)"Frames"\s*:\s*\[', re.DOTALL)
_MAX_BYTES = 32 << 20
_WIDTH = 44
_REPLACE = "replace it by an intact copy"

# The joints behind root place and rotation, in the file's order; the four with an angle turn about the file's z.
_JOINTS = (
    ("chest", 4),
    ("neck", 4),
    ("right_hip", 4),
    ("right_knee", 1),
    ("right_ankle", 4),
    ("right_shoulder", 4),
    ("right_elbow", 1),
    ("left_hip", 4),
    ("left_knee", 1),
    ("left_ankle", 4),
    ("left_shoulder", 4),
    ("left_elbow", 1),
)


def sniff(path: Path, header: Header) -> bool:
    """A JSON object with ``Frames``."""
    return not header.compression and _MARK.match(header.start) is not None


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The motion of one file, on DeepMimic's humanoid.

    Raises:
        InputError: no such JSON, rows of another length, uneven frame durations or broken rotations.
    """
    known = complete(path, options)
    rows = number_rows(path, "Frames", _frames(path), _WIDTH)
    fps = chosen_rate(known, lambda: _frame_rate(path, rows[:, 0]))
    skeleton = deepmimic_skeleton()
    local_rot = np.zeros((len(rows), len(skeleton), 4))
    local_rot[..., 0] = 1.0
    local_rot[:, 0] = unit_quats(path, "root rotation", rows[:, 4:8])
    column = 8
    for name, width in _JOINTS:
        values = rows[:, column : column + width]
        quats = euler_to_quat("z", values) if width == 1 else unit_quats(path, name, values)
        local_rot[:, skeleton.index(name)] = quats
        column += width
    motion = turned_motion(change_of_axes("y", "x"), 1.0, rows[:, 1:4], local_rot)
    return [source_clip(path, fps, skeleton, *motion, rig="deepmimic", skip_first=known.skip_first or 0)]


def _frames(path: Path) -> Any:
    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is no finite number")

    try:
        content = json.loads(read_text(path, _MAX_BYTES), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"damaged JSON ({str(error)[:99]})", _REPLACE) from error
    if not isinstance(content, dict) or "Frames" not in content:
        raise InputError(path, "it has no Frames", _REPLACE)
    return content["Frames"]


def _frame_rate(path: Path, durations: np.ndarray) -> float:
    """Frames per second; the last frame's duration is of no account, most files have 0 there."""
    steps = durations[:-1] if len(durations) > 1 else durations
    step = float(np.median(steps))
    if step <= 0:
        raise InputError(path, f"a frame lasts {step:g} s", "give --fps with the true frame rate")
    if np.abs(steps - step).max() > 0.01 * step:
        frame = int(np.abs(steps - step).argmax())
        raise InputError(
            path, f"frame {frame} lasts {steps[frame]:g} s, others {step:g} s", "resample it to an even frame rate"
        )
    return 1.0 / step
