"""From a path the user gave to checked clips with unique names."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from poselib.rotations import quat_normalize
from puffer_phc.errors import InputError
from puffer_phc.motions.checks import MIN_FRAMES, check_bodies, check_clip
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats import SourceOptions, find_reader, is_companion, read_file, read_header, read_with

__all__ = ["check_bodies", "load_motions"]

_LOG = logging.getLogger("puffer_phc")
_LISTED = 5


@dataclass(frozen=True)
class _Entry:
    """A clip with the name that its place in the folder gives it."""

    clip: MotionClip
    place: str


def load_motions(path: str | Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """Every motion at ``path``, in sorted order of files.

    Args:
        path: a motion file, a folder (searched recursively) or a glob pattern.
        options: what is known about all of these files and they do not say, or say wrongly.

    Returns:
        Clips whose numbers are finite, whose quaternions are normalised and whose names are unique. A clip is named
        by its file or, below a folder, by its path in it joined by ``_``; formats that store names keep theirs.
        In folders and in files of several clips, ones of fewer than 5 frames are dropped with a warning, and files
        that are no motions are named in one.

    Raises:
        InputError: nothing is there, nothing in it is a motion, or a motion in it is damaged or wrong.
    """
    root, files = _files(Path(path))
    entries: list[_Entry] = []
    ignored: list[str] = []
    for file in files:
        clips = _read(file, options, alone=root is None)
        if clips is None:
            ignored += [] if is_companion(file) else [str(file)]
            continue
        place = file.stem if root is None else "_".join(file.relative_to(root).with_suffix("").parts)
        # A clip that bears its file's name has none of its own: in a folder its place tells more.
        entries += [_Entry(replace(clip, name=place) if clip.name == file.stem else clip, place) for clip in clips]
    if ignored:
        _LOG.warning("%s: no motions in %s", path, _listing(ignored))
    if not entries:
        raise InputError(path, "there is no motion in it", "give a motion file, a folder of them or a pattern")
    for entry in entries:
        check_clip(entry.clip)
    return _unique_names(_long_enough(path, entries))


def _files(path: Path) -> tuple[Path | None, list[Path]]:
    """The folder that names are relative to (None for a single file) and the files, sorted."""
    if path.is_file():
        return None, [path]
    if path.is_dir():
        return path, sorted(_walk(path))
    pattern = str(path)
    if not glob.has_magic(pattern):
        raise InputError(path, "there is no such file or folder", "check the path")
    files = sorted(Path(name) for name in glob.glob(pattern, recursive=True) if Path(name).is_file())
    if not files:
        raise InputError(path, "no file matches this pattern", "check the pattern")
    first_magic = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
    return Path(*path.parts[:first_magic]), files


def _walk(folder: Path) -> Iterator[Path]:
    """Files below ``folder``, through links to folders but never in circles; hidden ones are passed over."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _read(file: Path, options: SourceOptions | None, alone: bool) -> list[MotionClip] | None:
    """Clips of one file; None for one among others that is no motion."""
    if alone:
        return read_file(file, options)
    if not file.is_file() or not file.stat().st_size:  # a pipe or a link to nothing; an empty marker file
        return None
    reader = find_reader(file, read_header(file))
    return None if reader is None else read_with(reader, file, options)


def _long_enough(path: str | Path, entries: list[_Entry]) -> list[_Entry]:
    short = [entry.clip for entry in entries if entry.clip.num_frames < MIN_FRAMES]
    if len(short) == len(entries):
        frames = f"{short[0].num_frames} frames" if len(short) == 1 else f"fewer than {MIN_FRAMES} frames in each clip"
        raise InputError(path, f"too short ({frames})", f"a motion needs at least {MIN_FRAMES} frames")
    if short:
        _LOG.warning(
            "%s: dropped %d of %d clips for having fewer than %d frames: %s",
            path,
            len(short),
            len(entries),
            MIN_FRAMES,
            _listing([clip.name for clip in short]),
        )
    return [entry for entry in entries if entry.clip.num_frames >= MIN_FRAMES]


def _unique_names(entries: list[_Entry]) -> list[MotionClip]:
    """Clips with their own names where unique, else with their file's place before it, else numbered."""
    counts = Counter(entry.clip.name for entry in entries)
    taken: set[str] = set()
    clips = []
    for entry in entries:
        base = entry.clip.name
        if counts[base] > 1 and base != entry.place:
            base = f"{entry.place}_{base}"
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        clips.append(replace(entry.clip, name=name, local_rot=quat_normalize(entry.clip.local_rot)))
    return clips


def _listing(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
