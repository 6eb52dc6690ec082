"""Acclaim motions (``.amc``, with their skeleton ``.asf``), the format in which CMU publishes its recordings.

Per frame: a number, then a line per bone with its name and its angles. A bone's rotation is ``C Rz Ry Rx C^T``, C the
frame that its ``.asf`` axis gives; forward kinematics agree with CMU's own. There is no frame rate in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.asf import ROOT, AsfSkeleton, Bone, read_asf
from puffer_phc.motions.formats.axes import euler_to_quat
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.rigs import CMU_SLOW_SUBJECTS, cmu_subject, conventions_of
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.source_clip import chosen_rate, no_rate, source_clip, turned_motion, turned_skeleton
from puffer_phc.motions.formats.text import MAX_VALUES, as_name, check_size, read_text
from puffer_phc.quaternions import quat_mul

_MARK = re.compile(rb"\s*(?:[#:][^\n]*\n\s*)*(?:\d+\s*\n\s*root\s+-?[\d.]|:FULLY-SPECIFIED)", re.IGNORECASE)
_FRAME = re.compile(rb"^[ \t]*(\d+)[ \t]*\r?$", re.MULTILINE)
_CHUNK = 1 << 20
_MAX_TOKEN = 64
_REPLACE = "replace it by an intact copy"


@dataclass(frozen=True)
class _Layout:
    """Which words of a frame are what: the frame's number is word 0.

    Attributes:
        size: words per frame.
        names: position and text of each bone's name.
        values: positions of each bone's numbers.
    """

    size: int
    names: tuple[tuple[int, bytes], ...]
    values: dict[str, slice]


def sniff(path: Path, header: Header) -> bool:
    """Frame 1 with a root, or the keyword that opens these files."""
    return not header.compression and _MARK.match(header.start.removeprefix(b"\xef\xbb\xbf")) is not None


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The motion of one file on the skeleton of its ``.asf``, all of its frames but those to be skipped.

    The skeleton is ``options.skeleton_file``, else ``02_01.asf``, ``02.asf`` or the only ``.asf`` beside ``02_01.amc``.

    Raises:
        InputError: the skeleton or the frame rate is missing, or either file is damaged or does not fit the other.
    """
    known = complete(path, options)
    asf = read_asf(_skeleton_file(path, known))
    fps = chosen_rate(known, no_rate(path, _rate_hint(path)))
    names = [bone.name for bone in asf.bones]
    terms = conventions_of(path, known, names, asf.offsets, asf.unit)
    root_pos, local_rot = _motion(path, asf)
    clip = source_clip(
        path,
        fps,
        turned_skeleton(path, names, asf.parents, asf.offsets, terms.change, terms.unit),
        *turned_motion(terms.change, terms.unit, root_pos, local_rot),
        rig="" if terms.rig is None else terms.rig.name,
        skip_first=known.skip_first or 0,
    )
    return [clip]


def _skeleton_file(path: Path, options: SourceOptions) -> Path:
    if options.skeleton_file is not None:
        return Path(options.skeleton_file)
    found = sorted(other for other in path.parent.iterdir() if other.suffix.lower() == ".asf" and other.is_file())
    for stem in (path.stem, path.stem.rpartition("_")[0]):
        for other in found:
            if other.stem.lower() == stem.lower():
                return other
    if len(found) == 1:
        return found[0]
    subject = path.stem.rpartition("_")[0] or path.stem
    there = f"{len(found)} others are there" if found else "none is there"
    raise InputError(
        path,
        f"its skeleton is missing: no {subject}.asf beside it ({there})",
        "put it there or name it with --skeleton-file",
    )


def _rate_hint(path: Path) -> str:
    subject = cmu_subject(path.stem)
    if subject is None:
        return ""
    return f" (CMU recorded subject {subject} at {60 if subject in CMU_SLOW_SUBJECTS else 120})"


def _motion(path: Path, asf: AsfSkeleton) -> tuple[np.ndarray, np.ndarray]:
    """Root positions (T, 3) and local rotations (T, B, 4) wxyz in the file's unit and axes."""
    text = read_text(path)
    first = _FRAME.search(text)
    if first is None:
        raise InputError(path, "it has no frames", _REPLACE)
    head = text[: first.start()].upper()
    degrees = b":RADIANS" not in head and (asf.degrees or b":DEGREES" in head)
    bones = {bone.name: bone for bone in asf.bones}
    layout = _layout(path, text, first, bones)
    values = _values(path, text, first.start(), layout)
    check_size(path, len(values), len(bones))
    root_pos = np.zeros((len(values), 3))
    local_rot = np.zeros((len(values), len(bones), 4))
    local_rot[..., 0] = 1.0
    for i, bone in enumerate(asf.bones):
        if bone.channels:
            channels = dict(zip(bone.channels, values[:, layout.values[bone.name]].T, strict=True))
            local_rot[:, i] = _rotation(bone, channels, degrees, len(values))
            if bone.name == ROOT:
                root_pos = np.stack([channels.get(f"t{axis}", root_pos[:, 0]) for axis in "xyz"], axis=-1)
    return root_pos, local_rot


def _rotation(bone: Bone, channels: dict[str, np.ndarray], degrees: bool, frames: int) -> np.ndarray:
    """(T, 4) ``C R C^T``; C is the bone's frame."""
    order = [axis for axis in bone.order if f"r{axis}" in channels]
    if not order:
        return np.broadcast_to([1.0, 0.0, 0.0, 0.0], (frames, 4))
    angles = np.stack([channels[f"r{axis}"] for axis in order], axis=-1)
    turn = euler_to_quat(order, np.radians(angles) if degrees else angles)
    inverse = bone.frame * np.array([1.0, -1.0, -1.0, -1.0])
    return quat_mul(quat_mul(bone.frame, turn), inverse)


def _layout(path: Path, text: bytes, first: re.Match[bytes], bones: dict[str, Bone]) -> _Layout:
    """The words of the first frame; all others must be like it."""
    second = _FRAME.search(text, first.end())
    end = len(text) if second is None else second.start()
    if end - first.end() > _CHUNK:
        raise InputError(path, "its first frame is longer than a megabyte", _REPLACE)
    position, names, values = 1, [], {}
    for line in text[first.end() : end].splitlines():
        words = line.split()
        if not words:
            continue
        name = as_name(words[0])
        if name not in bones or name in values:
            raise InputError(path, f"bone {name} is unknown to the skeleton or occurs twice", "take the right .asf")
        count = len(bones[name].channels)
        if len(words) - 1 != count:
            raise InputError(path, f"bone {name} has {len(words) - 1} numbers where the .asf has {count}", _REPLACE)
        names.append((position, words[0]))
        values[name] = slice(position + 1, position + 1 + count)
        position += 1 + count
    missing = [bone.name for bone in bones.values() if bone.channels and bone.name not in values]
    if missing:
        raise InputError(path, f"its frames lack {', '.join(missing[:5])}", "take the right .asf or an intact copy")
    return _Layout(position, tuple(names), values)


def _values(path: Path, text: bytes, start: int, layout: _Layout) -> np.ndarray:
    """All frames (T, words per frame) as numbers, 0 where a name stands.

    Raises:
        InputError: a frame is not like the first one, or holds something else than finite numbers.
    """
    blocks: list[np.ndarray] = []
    done = 0
    for words in _frames(path, text, start, layout.size):
        for position, name in layout.names:
            if (words[:, position] != name).any():
                frame = done + int((words[:, position] != name).argmax())
                raise InputError(path, f"frame {frame} has other bones than the first one", _REPLACE)
            words[:, position] = b"0"
        try:
            block = words.astype(np.float64)
        except ValueError:
            raise InputError(path, "a value is no number", _REPLACE) from None
        blocks.append(block)
        done += len(block)
        if done * layout.size > MAX_VALUES:
            raise InputError(path, f"more than {MAX_VALUES} numbers", "split it into shorter clips")
    values = np.concatenate(blocks)
    if not np.isfinite(values).all():
        frame = int(np.argwhere(~np.isfinite(values))[0][0])
        raise InputError(path, f"NaN or infinite values from frame {frame} on", "repair or drop the clip")
    if (np.diff(values[:, 0]) != 1).any():
        frame = int((np.diff(values[:, 0]) != 1).argmax())
        raise InputError(path, f"frames are missing or out of order after frame {values[frame, 0]:.0f}", _REPLACE)
    return values


def _frames(path: Path, text: bytes, start: int, size: int) -> Iterator[np.ndarray]:
    """The words of the file, (n, size) at a time: a megabyte of text and no more is held as words at once."""
    rest: list[bytes] = []
    while start < len(text):
        stop = text.find(b"\n", start + _CHUNK, start + 2 * _CHUNK) + 1
        if not stop:
            if len(text) - start > 2 * _CHUNK:
                raise InputError(path, "a line of more than a megabyte", _REPLACE)
            stop = len(text)
        words = rest + text[start:stop].split()
        start = stop
        if max(map(len, words), default=0) > _MAX_TOKEN:
            raise InputError(path, "a word is far too long for a number or a name", _REPLACE)
        whole = len(words) // size * size
        if whole:
            yield np.array(words[:whole]).reshape(-1, size)
        rest = words[whole:]
    if rest:
        raise InputError(path, "it ends within a frame", _REPLACE)
