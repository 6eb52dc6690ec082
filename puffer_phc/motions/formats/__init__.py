"""The motion formats this package reads, one module each.

A format is a module with two functions::

    def sniff(path: Path, header: Header) -> bool: ...   # is this file mine? decided by content, without reading it all
    def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]: ...
                                                         # InputError for whatever is wrong with it

Adding one is a new module and one line in :data:`READERS`. The first that recognises a file reads it, so the order goes
from the most specific mark to the least. What a file does not say of itself comes from ``options`` or from a sidecar
(:mod:`puffer_phc.motions.formats.options`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats import (
    amass,
    asf_amc,
    beyondmimic,
    bvh,
    deepmimic,
    expmap_text,
    mimickit,
    npz,
    phc_pickle,
    poselib_npy,
    protomotions,
    robot_pickle,
)
from puffer_phc.motions.formats.header import Header, read_header
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.sidecar import is_sidecar
from puffer_phc.motions.unpickle import read_pickle

__all__ = [
    "READERS",
    "Header",
    "Reader",
    "SourceOptions",
    "find_reader",
    "is_companion",
    "read_file",
    "read_header",
    "read_with",
]


class Reader(Protocol):
    """What a format module offers."""

    __name__: str

    def sniff(self, path: Path, header: Header) -> bool:
        """Whether the file is in this format."""
        ...

    def read(self, path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
        """All clips in the file."""
        ...


READERS: tuple[Reader, ...] = (
    npz,
    amass,
    phc_pickle,
    protomotions,
    mimickit,
    robot_pickle,
    poselib_npy,
    bvh,
    asf_amc,
    deepmimic,
    expmap_text,
    beyondmimic,
)
"""Every known format, most specific first."""


def find_reader(path: Path, header: Header | None = None) -> Reader | None:
    """The format that recognises the file, or None for files that are no motions.

    Raises:
        InputError: the file is missing, empty, or a damaged archive.
    """
    header = read_header(path) if header is None else header
    return next((reader for reader in READERS if reader.sniff(path, header)), None)


def read_file(path: str | Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """All clips in one file, unchecked; see :func:`puffer_phc.motions.loading.load_motions`.

    Args:
        path: the file.
        options: what is known about it and it does not say, or says wrongly.

    Raises:
        InputError: the file is in no known format or cannot be read.
    """
    path = Path(path)
    header = read_header(path)
    reader = find_reader(path, header)
    if reader is None:
        raise _unknown(path, header)
    return read_with(reader, path, options)


def read_with(reader: Reader, path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """All clips in one file by the reader that recognised it, unchecked.

    Raises:
        InputError: the file cannot be read.
    """
    # Absurd numbers overflow on their way to the checks that refuse them; NumPy need not warn of it as well.
    with np.errstate(over="ignore", invalid="ignore"):
        return reader.read(path, options)


def is_companion(path: Path) -> bool:
    """Whether the file belongs to motions beside it without being one: a skeleton, an index, a sidecar."""
    return is_sidecar(path) or path.suffix.lower() == ".asf"


def _unknown(path: Path, header: Header) -> InputError:
    """Says as closely as possible why no format recognised the file."""
    known = ", ".join(reader.__name__.rpartition(".")[2] for reader in READERS)
    remedy = f"give a motion in a known format ({known})"
    if header.is_zip:
        held = ", ".join(sorted(header.arrays)[:8]) or "nothing"
        return InputError(path, f"its contents ({held}) are those of no known motion format", remedy)
    if header.is_pickle:
        read_pickle(path)  # its own message if it is damaged or tries to run code
        return InputError(path, "the pickle holds no motion records", remedy)
    if header.compression:
        return InputError(path, f"{header.compression}-compressed data of no known motion format, or damaged", remedy)
    if b":bonedata" in header.start:
        return InputError(path, "it is a skeleton without a motion", "give an .amc beside it")
    return InputError(path, "in no known motion format", remedy)
