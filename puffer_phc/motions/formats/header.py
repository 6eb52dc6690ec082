"""What a reader may look at before it says whether a file is its own."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import NamedTuple

from puffer_phc.errors import InputError
from puffer_phc.motions.streams import compression_of, unpacked_start

START_BYTES = 4096
_PICKLE = re.compile(rb"\x80[\x02-\x05]|[}\]]q\x00|\([dl]p|c[\w.]+\n[\w.]+\n")
_REPLACE = "replace it by an intact copy"


class Header(NamedTuple):
    """The beginning of a file.

    Attributes:
        start: up to 4096 first bytes, after decompression where the whole file is compressed.
        arrays: names of the arrays in an ``.npz`` (of the members of any other zip file); empty for other files.
        compression: name of the whole-file compression, or empty.
    """

    start: bytes
    arrays: frozenset[str]
    compression: str

    @property
    def is_zip(self) -> bool:
        """The file is a zip archive, as ``.npz`` files are."""
        return not self.compression and self.start.startswith(b"PK\x03\x04")

    @property
    def is_pickle(self) -> bool:
        """The file begins as a binary pickle (protocol 1 and up) or as a text one."""
        return _PICKLE.match(self.start) is not None


def read_header(path: Path) -> Header:
    """The beginning of the file at ``path``.

    Raises:
        InputError: the file is missing, unreadable, empty, or a zip archive without an intact table of contents.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(8)
        if not raw:
            raise InputError(path, "the file is empty", _REPLACE)
        header = Header(unpacked_start(path, START_BYTES), frozenset(), compression_of(raw))
        if not header.is_zip:
            return header
        with zipfile.ZipFile(path) as archive:
            return header._replace(arrays=frozenset(name.removesuffix(".npy") for name in archive.namelist()))
    except InputError:
        raise
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})", "check the path") from error
    except Exception as error:  # zipfile lets several exception types through on damaged archives
        raise InputError(path, f"damaged or cut-short zip archive ({error})", _REPLACE) from error
