"""Which kind of motion each clip is, from a table of the user's, a data set's index or nothing; never guessed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from puffer_phc.errors import InputError
from puffer_phc.motions.manifest import is_manifest, read_manifest

INDEX_FILE = "index.csv"
OTHER = "uncategorised"
_NAMES = ("name", "clip", "motion", "file", "path")  # columns that may say which clip a row is about, best first
_KIND = "category"


def categories_of(names: Sequence[str], motions: str | Path, table: str | Path = "") -> dict[str, str]:
    """The category of each clip, by name; empty if nothing tells.

    Args:
        names: of the clips.
        motions: where they came from: a manifest with categories, or a folder (or a file in one) with ``index.csv``.
        table: a CSV file with columns ``name`` (or ``file``) and ``category``, instead of these.

    Raises:
        InputError: the table cannot be read, lacks a column, or is about none of the clips. An index that is about
            none is passed over.
    """
    given = bool(table)
    path = Path(table) if given else _index_beside(Path(motions))
    known = {} if given else _of_manifest(motions)
    if not known and path is not None:
        known = _read(path, given)
    found = {name: known[key] for name in names if (key := _key(name)) in known}
    if not found:
        if given:
            raise InputError(
                table, f"it has no row for any of the clips, such as {names[0]!r}", "name the clips as here"
            )
        return {}
    return {name: found.get(name, OTHER) for name in names}


def _of_manifest(motions: str | Path) -> dict[str, str]:
    """Categories by the key of a clip, of the files in a manifest that have one."""
    if not is_manifest(motions):
        return {}
    return {_key(entry.path): entry.category for entry in read_manifest(motions) if entry.category}


def _index_beside(motions: Path) -> Path | None:
    """The index of the folder that the motions are in."""
    folder = motions if motions.is_dir() else motions.parent
    return folder / INDEX_FILE if (folder / INDEX_FILE).is_file() else None


def _read(path: Path, given: bool) -> dict[str, str]:
    """Categories by the key of a clip; those of an index that has none are empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "name a CSV file that exists") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, f"is no CSV file ({error})", f"give columns name and {_KIND}") from None
    heads = list(rows[0]) if rows else []
    column = next((name for name in _NAMES if name in heads), None)
    if column is None or _KIND not in heads:
        if not given:
            return {}
        raise InputError(path, f"its columns are {', '.join(map(str, heads)) or 'none'}", f"give name and {_KIND}")
    return {_key(row[column]): " ".join(row[_KIND].split()) or OTHER for row in rows if row[column] and row[_KIND]}


def _key(name: str) -> str:
    """What a clip's name and its file's place in a folder have in common: ``a/b.npz`` is the clip ``a_b``."""
    path = Path(name)
    # A suffix ends a file's name; a dot may also be part of a clip's own.
    stem = path.with_suffix("") if path.suffix[1:].isalnum() and not path.suffix[1:].isdigit() else path
    return "_".join(part for part in stem.parts if part not in ("..", "/"))
