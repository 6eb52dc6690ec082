"""Reads pickles without running them.

The standard unpickler is a program loader: whoever wrote the file decides which functions are called. This one
interprets the few instructions that plain data need (:mod:`puffer_phc.motions.pickle_machine`) and knows only the names
in :mod:`puffer_phc.motions.pickle_objects`. It reads what ``pickle.dump`` and ``joblib.dump`` (compressed or not) write
for nested dicts, lists, numbers, NumPy arrays, SciPy's column matrices and torch tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from puffer_phc.errors import InputError
from puffer_phc.motions.pickle_machine import interpret
from puffer_phc.motions.pickle_objects import PickleFault
from puffer_phc.motions.streams import ByteStream, StreamFault, size_limit

_REMEDY = "use an undamaged motion file from a source you trust"
_EXCERPT = 99  # characters of a fault that are shown


def read_pickle(path: str | Path, limit: int | None = None, longest_line: int = 1 << 20) -> Any:
    """The data in a pickle or joblib file; no code in it runs.

    Args:
        path: the file; zlib, gzip, bz2, xz and lzma compression are recognised.
        limit: unpacked bytes to accept; by default in proportion to the size of the file.
        longest_line: bytes to accept in a line of a text pickle.

    Returns:
        Nested dicts, lists, tuples, strings and numbers; arrays and torch tensors come as ``np.ndarray`` that may be
        read-only.

    Raises:
        InputError: the file is missing, damaged, far too large when unpacked, or asks for anything but plain data.
    """
    path = Path(path)
    with pickle_faults(path, _REMEDY), path.open("rb") as file:
        size = path.stat().st_size
        if not size:
            raise InputError(path, "the file is empty", _REMEDY)
        return interpret(ByteStream(file, size_limit(size) if limit is None else limit, longest_line))


@contextmanager
def pickle_faults(path: Path, remedy: str) -> Iterator[None]:
    """Whatever the bytes of the file ``path`` provoke in the block is an :class:`InputError` of one line."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})", "check the path") from error
    except (PickleFault, StreamFault) as error:
        raise InputError(path, str(error), remedy) from error
    except Exception as error:  # whatever bytes can provoke is the file's fault
        detail = str(error)[:_EXCERPT] or type(error).__name__
        raise InputError(path, f"damaged or cut-short pickle ({detail})", remedy) from error
