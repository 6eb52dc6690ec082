"""Small files beside a motion that say what it does not: ``<file>.yaml``, ``motion.yaml`` and ``index.csv``.

A ``.yaml`` holds lines of ``key: value`` and comments, nothing else of YAML; ``motion.yaml`` holds for every file in
its folder. An ``index.csv`` has a heading line, a column ``file`` and one line per file. Keys and columns are those of
:class:`puffer_phc.motions.formats.options.SourceOptions`; others are left alone. A sidecar speaks of this file: its
``fps`` wins over the one in the file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from puffer_phc.errors import InputError
from puffer_phc.motions.formats.options import NO_OPTIONS, SourceOptions, options_from_texts
from puffer_phc.motions.formats.text import read_bytes

INDEX = "index.csv"
FOLDER_FILE = "motion.yaml"

_MAX_BYTES = 16 << 20
_LINE = re.compile(r"\s*([A-Za-z_]\w*)\s*:\s*(.*?)\s*(?:#.*)?$")


def complete(path: Path, options: SourceOptions | None) -> SourceOptions:
    """``options``, completed by what the sidecars of the motion file at ``path`` say.

    Raises:
        InputError: a sidecar is damaged or says something impossible.
    """
    found = NO_OPTIONS if options is None else options
    for sidecar in (path.with_name(path.name + ".yaml"), path.with_suffix(".yaml"), path.with_name(FOLDER_FILE)):
        if sidecar != path and sidecar.is_file():
            found = found.over(_options(sidecar, _yaml(sidecar)))
    index = path.with_name(INDEX)
    if index.is_file():
        status = index.stat()
        row = _index(index, status.st_mtime_ns, status.st_size).get(path.name)
        if row is not None:
            found = found.over(_options(index, row))
    return found


def is_sidecar(path: Path) -> bool:
    """Whether ``path`` describes other files rather than being a motion: passed over without a word in folders."""
    return path.name in (INDEX, FOLDER_FILE) or path.suffix == ".yaml"


def _options(sidecar: Path, texts: Mapping[str, str]) -> SourceOptions:
    options = options_from_texts(sidecar, texts)
    options = replace(options, fps=None, override_fps=options.override_fps or options.fps)
    skeleton = options.skeleton_file
    if skeleton is None:
        return options
    # A sidecar travels with its folder: it may name a file there, not one elsewhere on this machine.
    if Path(skeleton).name != str(skeleton):
        raise InputError(sidecar, f"skeleton_file is {str(skeleton)[:80]!r}", "name a file in the same folder")
    return replace(options, skeleton_file=sidecar.with_name(str(skeleton)))


def _yaml(sidecar: Path) -> dict[str, str]:
    """The keys and values of a flat YAML file."""
    values = {}
    for number, line in enumerate(_text(sidecar).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(("#", "---")):
            continue
        match = _LINE.match(line)
        if match is None:
            raise InputError(sidecar, f"line {number} is not of the form key: value", "write one fact a line")
        values[match[1]] = match[2].strip("'\"")
    return values


@lru_cache(maxsize=8)
def _index(path: Path, modified: int, size: int) -> dict[str, dict[str, str]]:
    """The rows of an index by file name; ``modified`` and ``size`` only tell versions of the file apart."""
    try:
        rows = csv.DictReader(io.StringIO(_text(path)), restkey="")
        if "file" not in (rows.fieldnames or ()):
            return {}
        return {
            row["file"]: {key: value for key, value in row.items() if isinstance(value, str)}
            for row in rows
            if row["file"]
        }
    except csv.Error as error:
        raise InputError(path, f"damaged table ({error})", "repair or remove it") from error


def _text(path: Path) -> str:
    data = read_bytes(path, _MAX_BYTES, "a description of motions is smaller; remove it")
    return data.decode("utf-8-sig", errors="replace")
