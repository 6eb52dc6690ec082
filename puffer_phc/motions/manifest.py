"""Data-set manifests: a ``.yaml`` that lists motion files with their weights, splits, checksums and frame rates.

::

    format: puffer_phc.dataset
    version: 1
    files:
      - path: "CMU/02/02_01.npz"   # from the manifest's own folder
        split: train               # any word; train by default
        weight: 2.0                # how often its clips are drawn, relative to others; 1 by default
        sha256: 24d6cce5...        # 64 digits; checked where given
        fps: 120                   # instead of what the file says
        category: walk             # kind of motion, for the tables of an evaluation
      - more/jump.bvh
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.arrays import write_atomic
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.manifest_yaml import Item, Scalar, quoted, read_document

FORMAT = "puffer_phc.dataset"
VERSION = 1
ALL = "all"
"""The split that means every file."""

SUFFIXES = (".yaml", ".yml")

_TOP = ("format", "version", "files")
_KEYS = ("path", "split", "weight", "sha256", "fps", "category")
_WORD = re.compile(r"[\w.-]+")
_FPS = (0.1, 10_000.0)
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file of a data set.

    Attributes:
        path: the file as the manifest names it, relative to the manifest.
        split: the part of the data set that it belongs to.
        weight: > 0, how often each of its clips is drawn, relative to others.
        sha256: checksum in hexadecimal, or empty.
        fps: frames per second instead of what the file says, or None.
        line: where the manifest names it, for messages.
        category: kind of motion, or empty.
    """

    path: str
    split: str = "train"
    weight: float = 1.0
    sha256: str = ""
    fps: float | None = None
    line: int = 0
    category: str = ""


def is_manifest(path: str | Path) -> bool:
    """Whether a path the user gave is that of a manifest: a file called ``*.yaml``."""
    return Path(path).suffix in SUFFIXES and Path(path).is_file()


def read_manifest(path: str | Path) -> list[Entry]:
    """Every file that a manifest lists, in its order; the files themselves are not looked at.

    Raises:
        InputError: naming the line and key of what is unknown, missing, impossible or given twice.
    """
    path = Path(path)
    document = read_document(path)
    for key, line in document.lines.items():
        if key not in _TOP or (key == "files") != (key in document.lists):
            raise InputError(
                path, f"line {line}: {key} cannot be there", f"give {', '.join(_TOP)} (a list) and no more"
            )
    kind, version = (document.values.get(key, Scalar("", 1)) for key in ("format", "version"))
    if kind.text != FORMAT:
        raise InputError(path, f"line {kind.line}: it is no data-set manifest", f"begin it with 'format: {FORMAT}'")
    if version.text != str(VERSION):
        raise InputError(path, f"line {version.line}: version is {version.text!r}", f"this program reads {VERSION}")
    entries = [_entry(path, item) for item in document.lists.get("files", [])]
    if not entries:
        raise InputError(path, "it lists no files", "give a list of files")
    _check_twice(path, entries)
    return entries


def load_manifest(path: str | Path, split: str = ALL, verify: bool = True) -> list[tuple[Path, float]]:
    """Files of one split and their weights, in the manifest's order.

    Args:
        path: the manifest.
        split: such as ``train``; ``all`` for every file.
        verify: check the files against their checksums (a second or so per gigabyte).

    Raises:
        InputError: the manifest is wrong, has no such split, or a file is missing or another than it was.
    """
    return [(file, entry.weight) for file, entry in _checked(Path(path), split, verify)]


def load_manifest_clips(
    path: str | Path, split: str = ALL, options: SourceOptions | None = None, verify: bool = True
) -> tuple[list[MotionClip], list[float]]:
    """The clips of one split and the weight of each; frame rates of the manifest win over those of files and options.

    Clips bear the names their files give them, or the file's place in the manifest, joined by ``_``; what is then not
    unique is prefixed with that place and, if need be, numbered.

    Raises:
        InputError: as :func:`load_manifest`, or a file is no motion, damaged or wrong.
    """
    from puffer_phc.motions.loading import load_motions  # late: loading may itself be given a manifest

    clips: list[MotionClip] = []
    weights: list[float] = []
    names: set[str] = set()
    for file, entry in _checked(Path(path), split, verify):
        told = options or SourceOptions()
        told = told if entry.fps is None else SourceOptions(override_fps=entry.fps).over(told)
        place = "_".join(part for part in Path(entry.path).with_suffix("").parts if part != "..")
        for clip in load_motions(file, told):
            name = place if clip.name == file.stem else clip.name
            name = _unused(f"{place}_{name}" if name in names and name != place else name, names)
            names.add(name)
            clips.append(replace(clip, name=name))
            weights.append(entry.weight)
    return clips, weights


def write_manifest(path: str | Path, entries: Iterable[Entry]) -> None:
    """Writes a manifest, atomically; equal entries give equal bytes.

    Raises:
        InputError: nothing to list, a file listed twice, or the manifest cannot be written.
    """
    path, entries = Path(path), list(entries)
    if not entries:
        raise InputError(path, "there are no files to list", "give at least one")
    lines = [f"format: {FORMAT}", f"version: {VERSION}", "files:"]
    for entry in entries:
        lines += [f"  - path: {quoted(entry.path)}", f"    split: {entry.split}"]
        lines += [f"    weight: {entry.weight!r}"] if entry.weight != 1.0 else []
        lines += [f"    sha256: {entry.sha256}"] if entry.sha256 else []
        lines += [f"    fps: {entry.fps!r}"] if entry.fps is not None else []
        lines += [f"    category: {quoted(entry.category)}"] if entry.category else []
    _check_twice(path, [replace(entry, line=0) for entry in entries])
    try:
        write_atomic(path, lambda file: file.write(("\n".join(lines) + "\n").encode()))
    except OSError as error:
        raise InputError(path, f"cannot be written ({error.strerror or error})", "name another file") from error


def file_sha256(path: Path) -> str:
    """The checksum of a file, 64 hexadecimal digits.

    Raises:
        InputError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})", "check the path") from error
    return digest.hexdigest()


def _checked(path: Path, split: str, verify: bool) -> list[tuple[Path, Entry]]:
    """Files of a split that are there and, if to be verified, are what they were."""
    entries = read_manifest(path)
    chosen = [entry for entry in entries if split in (ALL, entry.split)]
    if not chosen:
        known = ", ".join(sorted({entry.split for entry in entries}))
        raise InputError(path, f"it has no split {split!r}", f"choose one of {known}, or {ALL}")
    files = []
    for entry in chosen:
        file = path.parent / entry.path
        if not file.is_file():
            raise InputError(path, f"line {entry.line}: there is no file {entry.path}", "restore it or correct path")
        if verify and entry.sha256 and file_sha256(file) != entry.sha256:
            fault = f"line {entry.line}: {entry.path} has another sha256 than it should"
            raise InputError(path, fault, "restore the file, or write the manifest anew if it was changed on purpose")
        files.append((file, entry))
    return files


def _entry(path: Path, item: Item) -> Entry:
    values = dict(item.values)
    if "" in values:
        values["path"] = values.pop("")
    for key, value in values.items():
        if key not in _KEYS:
            raise InputError(path, f"line {value.line}: the key {key} is unknown", f"known are {', '.join(_KEYS)}")
    if "path" not in values:
        raise InputError(path, f"line {item.line}: a file without path", "give its path")
    name = values["path"].text
    if not name or Path(name).is_absolute() or "\0" in name:
        raise InputError(path, f"line {item.line}: path is {name[:80]!r}", "give it from the manifest's folder on")
    split, sha256 = values.get("split", Scalar("train", 0)), values.get("sha256", Scalar("", 0))
    if not _WORD.fullmatch(split.text) or split.text == ALL:
        raise InputError(path, f"line {split.line}: split is {split.text[:40]!r}", f"give one word, other than {ALL}")
    if sha256.line and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256.text):
        raise InputError(path, f"line {sha256.line}: sha256 is no checksum", "give 64 hexadecimal digits")
    weight, fps = (_number(path, key, values[key]) if key in values else None for key in ("weight", "fps"))
    if fps is not None and not _FPS[0] <= fps <= _FPS[1]:
        raise InputError(path, f"line {values['fps'].line}: fps is {fps:g}", f"give {_FPS[0]:g} to {_FPS[1]:g}")
    category = " ".join(values["category"].text.split()) if "category" in values else ""
    return Entry(name, split.text, 1.0 if weight is None else weight, sha256.text.lower(), fps, item.line, category)


def _number(path: Path, key: str, value: Scalar) -> float:
    try:
        number = float(value.text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise InputError(path, f"line {value.line}: {key} is {value.text[:40]!r}", "give a number above 0")
    return number


def _check_twice(path: Path, entries: Sequence[Entry]) -> None:
    """Raises InputError if a file is listed twice, or the same content stands in two splits (a leak)."""
    files: dict[Path, Entry] = {}
    contents: dict[str, Entry] = {}
    for entry in entries:
        other = files.setdefault((path.parent / entry.path).resolve(), entry)
        if other is not entry:
            raise InputError(path, f"line {entry.line}: {entry.path} is listed in line {other.line} too", "remove one")
        same = contents.setdefault(entry.sha256, entry) if entry.sha256 else entry
        if same.split != entry.split:
            fault = f"line {entry.line}: {entry.path} is the same file as {same.path} of split {same.split}"
            raise InputError(path, fault, "put both into one split")


def _unused(name: str, names: set[str]) -> str:
    number, found = 1, name
    while found in names:
        number += 1
        found = f"{name}_{number}"
    return found
