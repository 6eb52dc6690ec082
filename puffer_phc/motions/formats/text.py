"""Bounded reading of text motions: no more memory than the bytes that are there, whatever they claim."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from puffer_phc.errors import InputError

MAX_BYTES = 256 << 20
"""Larger text files are refused: 256 MiB are hours of motion."""

MAX_VALUES = 20_000_000
"""Numbers a motion may have: 100 channels for an hour at 50 fps."""

MAX_BODIES = 1024

MAX_ROTATIONS = 10_000_000
"""Frames times bodies: most bodies of a skeleton may have no channels, so the numbers alone do not bound a motion."""

_EXCERPT = 40
_LONGEST_NAME = 200
_CHUNK = 8 << 20  # text is turned into numbers by so much at a time


def read_text(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a text file, without a byte order mark.

    Raises:
        InputError: missing, unreadable, empty or larger than ``limit`` bytes.
    """
    data = read_bytes(path, limit, "split it into shorter clips").removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise InputError(path, "the file is empty", "replace it by an intact copy")
    return data


def read_bytes(path: Path, limit: int, remedy: str) -> bytes:
    """All bytes of a file, if there are not more than ``limit``.

    Raises:
        InputError: missing, unreadable, or larger; ``remedy`` is what to do then.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})", "check the path") from error
    if len(data) > limit:
        size = f"{limit >> 20} MiB" if limit >> 20 else f"{limit >> 10} KiB"
        raise InputError(path, f"larger than {size}", remedy)
    return data


def check_size(path: Path, frames: int, bodies: int) -> None:
    """Raises InputError if so many frames of so many bodies are more than :data:`MAX_ROTATIONS`."""
    if frames * bodies > MAX_ROTATIONS:
        raise InputError(path, f"{frames} frames of {bodies} bodies are too many", "split it into shorter clips")


def parse_numbers(path: Path, what: str, text: bytes) -> np.ndarray:
    """All numbers in ``text``, separated by white space, as float64; a 2,751-frame BVH takes 30 ms.

    Args:
        path: the file, for messages.
        what: what the numbers are, for messages.
        text: any number of lines.

    Raises:
        InputError: something in it is no number, or NaN or infinite, or there are more than :data:`MAX_VALUES`.
    """
    pieces: list[np.ndarray] = []
    start = count = 0
    while start < len(text):
        stop = text.find(b"\n", start + _CHUNK) + 1 or len(text)
        if stop - start > 2 * _CHUNK:
            raise InputError(path, f"a line of {what} is longer than {_CHUNK >> 20} MiB", "export the file again")
        pieces.append(_numbers(path, what, text[start:stop]))
        start = stop
        count += pieces[-1].size
        if count > MAX_VALUES:
            raise InputError(path, f"{what} has more than {MAX_VALUES} numbers", "split it into shorter clips")
    return np.concatenate(pieces) if pieces else np.empty(0)


def _numbers(path: Path, what: str, text: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy before 2.3 only warns of text that is no number, and returns the rest
        try:
            values = np.fromstring(text, dtype=np.float64, sep=" ") if text.strip() else np.empty(0)
        except (ValueError, DeprecationWarning):
            raise InputError(path, f"{what} holds something that is no number", "export the file again") from None
    if not np.isfinite(values).all():
        raise InputError(path, f"{what} holds NaN or infinite values", "repair or drop the clip")
    return values


def parse_table(path: Path, text: bytes, width: int) -> np.ndarray:
    """A table without a heading: lines of ``width`` numbers between commas, as (T, width) float64.

    Raises:
        InputError: a line has another length, or something in it is no finite number.
    """
    text = text.strip()
    rows = text.count(b"\n") + 1
    if rows * width > MAX_VALUES:
        raise InputError(path, f"the table has more than {MAX_VALUES} numbers", "split it into shorter clips")
    for i, line in enumerate(text.split(b"\n")):
        columns = line.count(b",") + 1
        if columns != width:
            raise InputError(path, f"line {i + 1} has {columns} columns, not {width}", "export it again")
    values = parse_numbers(path, "the table", text.replace(b",", b" "))
    if values.size != rows * width:
        raise InputError(path, "a column of the table is empty", "export it again")
    return values.reshape(-1, width)


def first_row(start: bytes) -> list[float] | None:
    """The numbers between commas in the first line of a table; None where the start of the file is no such table."""
    line, end, _ = start.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    try:
        return [float(word) for word in line.split(b",")] if end and b"," in line else None
    except ValueError:
        return None


def as_text(token: bytes) -> str:
    """A token for messages, no longer than one can bear."""
    text = as_name(token)
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "..."


def as_name(token: bytes) -> str:
    """A token as the name of a body, as it is in the file (but for what follows after 200 characters)."""
    return token.decode("utf-8", errors="replace")[:_LONGEST_NAME]


def to_float(path: Path, what: str, token: bytes) -> float:
    """One finite number.

    Raises:
        InputError: it is none.
    """
    try:
        value = float(token)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(path, f"{what} is {as_text(token)!r}, which is no finite number", "export the file again")
    return value


def to_int(path: Path, what: str, token: bytes, most: int) -> int:
    """One whole number from 0 to ``most``.

    Raises:
        InputError: it is none.
    """
    value = int(token) if token.isdigit() and len(token) < 19 else -1
    if not 0 <= value <= most:
        raise InputError(
            path, f"{what} is {as_text(token)!r}", f"it must be a whole number and at most {most} to be believed"
        )
    return value
