"""Makes the manifest of a folder of motions: which files, with which checksums, in which split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from puffer_phc.errors import InputError
from puffer_phc.motions.formats import find_reader, is_companion, read_header
from puffer_phc.motions.formats.sidecar import FOLDER_FILE
from puffer_phc.motions.manifest import SUFFIXES, Entry, file_sha256, write_manifest

SplitBy = Literal["file", "folder"]


def make_manifest(
    folder: Path,
    out: Path | None = None,
    test_share: float = 0.0,
    split_by: SplitBy = "file",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, list[Entry], list[str]]:
    """Write the manifest of all motions in a folder, at any depth.

    A file's split follows from its content (or its folder's name), so that it stays the same when files are added.

    Args:
        folder: where to look.
        out: the manifest; ``dataset.yaml`` in the folder by default.
        test_share: expected share of files, 0 to 1, in the split ``test``; the others are ``train``.
        split_by: ``folder`` keeps the files of a folder (a subject, say) together.
        progress: called with files looked at and files in all.

    Returns:
        The manifest's path, its entries, and the files that are no motions or damaged.

    Raises:
        InputError: the folder has no motions, or the manifest's name or place is impossible.
    """
    if not folder.is_dir():
        raise InputError(folder, "there is no such folder", "check the path")
    if not 0.0 <= test_share < 1.0:
        raise InputError("--test-share", f"is {test_share:g}", "give a share from 0 to below 1")
    out = folder / "dataset.yaml" if out is None else out
    _check_name(out)
    files = sorted(file for file in _walk(folder) if not is_companion(file))
    entries, ignored = [], []
    for done, file in enumerate(files, start=1):
        place = Path(os.path.relpath(file.resolve(), out.parent.resolve())).as_posix()
        if _is_motion(file):
            sha256 = file_sha256(file)
            drawn = sha256 if split_by == "file" else _digest(file.relative_to(folder).parent.as_posix())
            test = int(drawn[:8], 16) < test_share * 2**32
            entries.append(Entry(place, "test" if test else "train", sha256=sha256))
        else:
            ignored.append(place)
        if progress:
            progress(done, len(files))
    if not entries:
        raise InputError(folder, "there is no motion in it", "give a folder of motion files")
    write_manifest(out, entries)
    return out, entries, ignored


def _check_name(out: Path) -> None:
    """Raises InputError for a name under which a motion beside it would take the manifest for its sidecar."""
    if out.suffix not in SUFFIXES:
        raise InputError(out, "is no name for a manifest", "let it end in .yaml")
    beside = out.parent.iterdir() if out.parent.is_dir() else iter(())
    clash = any(other.stem == out.stem and other.suffix not in SUFFIXES and other.is_file() for other in beside)
    if out.name == FOLDER_FILE or clash or out.with_suffix("").is_file():
        raise InputError(out, "would be read as a description of motions beside it", "choose another name")


def _walk(folder: Path) -> Iterator[Path]:
    """Files below ``folder`` that are not hidden."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _is_motion(file: Path) -> bool:
    try:
        return file.is_file() and find_reader(file, read_header(file)) is not None
    except InputError:  # empty or a damaged archive
        return False


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
