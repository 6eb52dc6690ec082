"""Biovision hierarchies (``.bvh``) with any rig and any order of channels.

A joint's rotation is the product of its channels' rotations as they are written; position channels take the place of
its offset. The file tells neither its unit nor its up axis: both come from the options, a sidecar or a known rig.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.axes import euler_to_quat
from puffer_phc.motions.formats.bvh_hierarchy import Joint, read_hierarchy
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.rigs import CMU_SLOW_FPS, CMU_SLOW_SUBJECTS, Conventions, cmu_subject, conventions_of
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.source_clip import chosen_rate, source_clip, turned_motion, turned_skeleton
from puffer_phc.motions.formats.text import MAX_VALUES, check_size, parse_numbers, read_text, to_float, to_int

_MARK = re.compile(rb"(?:\xef\xbb\xbf)?\s*HIERARCHY\b", re.IGNORECASE)
_MOTION = re.compile(rb"^\s*MOTION\s+Frames:\s*(\S+)\s+Frame\s+Time:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_EXPORT = "export the file again"
_REPLACE = "replace it by an intact copy"
_RIGID_METRES = 0.01


def sniff(path: Path, header: Header) -> bool:
    """The word HIERARCHY comes first."""
    return not header.compression and _MARK.match(header.start) is not None


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The motion of one file on its own skeleton; poses that a known rig's converter put in front are left out.

    Raises:
        InputError: the file is damaged, bones change their length, or unit, up axis or frame rate are not known.
    """
    known = complete(path, options)
    text = read_text(path)
    motion = _MOTION.search(text)
    if motion is None:
        raise InputError(path, "it has no MOTION part with Frames and Frame Time", _EXPORT)
    joints = read_hierarchy(path, text[: motion.start()])
    names, parents = [joint.name for joint in joints], [joint.parent for joint in joints]
    values = _values(path, joints, motion, text)
    terms = conventions_of(path, known, names, np.stack([joint.offset for joint in joints]))
    frame_time = to_float(path, "Frame Time", motion[2])
    fps = chosen_rate(known, lambda: _frame_rate(path, terms, frame_time))
    offsets = np.stack([_rest_offset(path, joint, values, terms.unit) for joint in joints])
    local_rot = np.stack([_rotation(joint, values) for joint in joints], axis=1)
    added = _added_frames(terms, joints[0], values)
    clip = source_clip(
        path,
        fps,
        turned_skeleton(path, names, parents, offsets, terms.change, terms.unit),
        *turned_motion(terms.change, terms.unit, _positions(joints[0], values), local_rot),
        rig="" if terms.rig is None else terms.rig.name,
        skip_first=added if known.skip_first is None else known.skip_first,
    )
    return [clip]


def _values(path: Path, joints: tuple[Joint, ...], motion: re.Match[bytes], text: bytes) -> np.ndarray:
    """(T, channels) numbers of the MOTION part."""
    width = sum(len(joint.channels) for joint in joints)
    if width == 0:
        raise InputError(path, "no joint has a channel", _EXPORT)
    frames = to_int(path, "Frames", motion[1], MAX_VALUES // width)
    check_size(path, frames, len(joints))
    body = text[motion.end() :]
    if frames == 0 or len(body) < 2 * frames * width - 1:  # a number and a blank are two bytes
        raise InputError(path, f"it announces {frames} frames but is too short for them", _REPLACE)
    values = parse_numbers(path, "the MOTION part", body)
    if values.size != frames * width:
        raise InputError(
            path,
            f"{frames} frames of {width} channels are {frames * width} numbers, but it holds {values.size}",
            _REPLACE,
        )
    return values.reshape(frames, width)


def _frame_rate(path: Path, terms: Conventions, frame_time: float) -> float:
    """Frames per second; a header that is known to be wrong is not believed."""
    if frame_time <= 0 or math.isinf(1.0 / frame_time):
        raise InputError(path, f"Frame Time is {frame_time:g}", "give --fps with the true frame rate")
    stated = _round_rate(1.0 / frame_time)
    subject = cmu_subject(path.stem) if terms.rig is not None and terms.rig.recorded_by_cmu else None
    if subject in CMU_SLOW_SUBJECTS and stated > CMU_SLOW_FPS:
        raise InputError(
            path,
            f"its header says {stated:g} frames per second, but CMU captured subject {subject} at {CMU_SLOW_FPS:g}",
            f"give --fps {CMU_SLOW_FPS:g}, or --fps {stated:g} if this is another recording",
        )
    return stated


def _round_rate(fps: float) -> float:
    """A whole rate where the frame time is one rounded to six or seven decimals (0.0083333 is 120)."""
    return float(round(fps)) if abs(fps - round(fps)) < 1e-5 * fps else fps


def _positions(joint: Joint, values: np.ndarray) -> np.ndarray:
    """(T, 3) where the joint is in its parent: its offset, and instead of it each position channel it has."""
    pos = np.repeat(joint.offset[None], len(values), axis=0)
    for i, channel in enumerate(joint.channels):
        if channel.startswith("p"):
            pos[:, "xyz".index(channel[1])] = values[:, joint.first + i]
    return pos


def _rest_offset(path: Path, joint: Joint, values: np.ndarray, unit: float) -> np.ndarray:
    """(3,) the offset of a joint, also of one with position channels if they keep still."""
    if joint.parent < 0 or not any(channel.startswith("p") for channel in joint.channels):
        return joint.offset
    pos = _positions(joint, values)
    if np.ptp(pos, axis=0).max() * unit > _RIGID_METRES:
        raise InputError(
            path, f"joint {joint.name} moves within its parent; only rigid bones can be read", "export without stretch"
        )
    # Some exporters write zeros and mean "no displacement".
    return joint.offset if np.abs(pos).max() * unit < 1e-6 else pos.mean(axis=0)


def _rotation(joint: Joint, values: np.ndarray) -> np.ndarray:
    """(T, 4) wxyz."""
    turning = [(i, channel[1]) for i, channel in enumerate(joint.channels) if channel.startswith("r")]
    angles = values[:, [joint.first + i for i, _ in turning]]
    return euler_to_quat([axis for _, axis in turning], np.radians(angles))


def _added_frames(terms: Conventions, root: Joint, values: np.ndarray) -> int:
    """How many frames the known converter put before the recording."""
    if terms.rig is None or not terms.rig.added_frames:
        return 0
    turning = [root.first + i for i, channel in enumerate(root.channels) if channel.startswith("r")]
    return 0 if values[0, turning].any() else terms.rig.added_frames
