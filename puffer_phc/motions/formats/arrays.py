"""``.npz`` files as plain arrays, and the one way in which this package writes files."""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from puffer_phc.errors import InputError
from puffer_phc.motions.streams import size_limit

_REPLACE = "replace it by an intact copy"
_MAX_HEADER = 10_000


def read_npz(path: Path, wanted: frozenset[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of an ``.npz`` file by name; nothing in it can run code, and no size is believed before it is checked.

    Args:
        path: the file.
        wanted: names to read, all by default; names that the file lacks are left out.

    Raises:
        InputError: the file is missing or damaged, unpacks to too much, or holds Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                info
                for info in archive.infolist()
                if info.filename.endswith(".npy") and (wanted is None or info.filename.removesuffix(".npy") in wanted)
            ]
            # zipfile stops at the declared size, so the declared sizes are an upper bound.
            if sum(info.file_size for info in members) > size_limit(path.stat().st_size):
                raise InputError(path, "it unpacks to far more data than a motion file of its size holds", _REPLACE)
            return {info.filename.removesuffix(".npy"): _read_array(archive.read(info)) for info in members}
    except InputError:
        raise
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})", _REPLACE) from error
    except Exception as error:  # zipfile, zlib and NumPy raise many types on damaged bytes
        raise InputError(path, f"damaged .npz file ({error})", _REPLACE) from error


def _read_array(data: bytes) -> np.ndarray:
    stream = io.BytesIO(data)
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"array format {version} is not supported")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, column_major, dtype = read_header(stream, max_header_size=_MAX_HEADER)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which may run code")
    offset = stream.tell()
    if math.prod(shape) * dtype.itemsize != len(data) - offset or min(shape, default=0) < 0:
        raise ValueError(f"an array of shape {shape} has {len(data) - offset} bytes of data")
    flat = np.frombuffer(data, dtype, offset=offset) if len(data) > offset else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if column_major else "C")


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a compressed ``.npz``, atomically; equal arrays give equal bytes (zip members carry no time)."""
    write_atomic(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Lets ``write`` fill a temporary file beside ``path`` and then moves it there; folders are made as needed.

    A reader sees the old file or the new one, never a part; a failing ``write`` leaves nothing behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
