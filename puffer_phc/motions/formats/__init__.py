"""The motion formats this package reads, one module each.

A format is a module with two functions::

    def sniff(path: Path, header: Header) -> bool: ...   # is this file mine? decided by content, without reading it all
    def read(path: Path) -> list[MotionClip]: ...        # InputError for whatever is wrong with it

Adding one is a new module and one line in :data:`READERS`. The first that recognises a file reads it, so the order goes
from the most specific mark to the least.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats import amass, npz, phc_pickle
from puffer_phc.motions.formats.header import Header, read_header
from puffer_phc.motions.unpickle import read_pickle

__all__ = ["READERS", "Header", "Reader", "find_reader", "read_file", "read_header"]


class Reader(Protocol):
    """What a format module offers."""

    __name__: str

    def sniff(self, path: Path, header: Header) -> bool:
        """Whether the file is in this format."""
        ...

    def read(self, path: Path) -> list[MotionClip]:
        """All clips in the file."""
        ...


READERS: tuple[Reader, ...] = (
    npz,
    amass,
    phc_pickle,
)
"""Every known format, most specific first."""


def find_reader(path: Path, header: Header | None = None) -> Reader | None:
    """The format that recognises the file, or None for files that are no motions.

    Raises:
        InputError: the file is missing, empty, or a damaged archive.
    """
    header = read_header(path) if header is None else header
    return next((reader for reader in READERS if reader.sniff(path, header)), None)


def read_file(path: Path) -> list[MotionClip]:
    """All clips in one file, unchecked; see :func:`puffer_phc.motions.loading.load_motions`.

    Raises:
        InputError: the file is in no known format or cannot be read.
    """
    header = read_header(path)
    reader = find_reader(path, header)
    if reader is None:
        raise _unknown(path, header)
    return reader.read(path)


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
    return InputError(path, "in no known motion format", remedy)
