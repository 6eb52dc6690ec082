"""Bounded reading of files nobody vouches for: plain or compressed, never more memory than the bytes really there."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_CHUNK = 1 << 18
_LZMA_MEMORY = 1 << 28  # xz files may ask for a dictionary of 4 GiB
_MIB = 1 << 20

_UNSUPPORTED = {b"\x04\x22\x4d\x18": "lz4", b"ZF": "the compression of joblib before 0.10"}


class StreamFault(ValueError):
    """The bytes cannot be read; the text says why, the caller adds the file."""


def size_limit(file_size: int) -> int:
    """Bytes a file of ``file_size`` bytes may unpack to.

    Motion data compresses by 1 to 20 times; small files get a floor, because a still pose compresses by much more.
    The ceiling leaves room for the whole of AMASS in one PHC file (about 7 GB).
    """
    return min(64 * _MIB + 200 * file_size, 16 * 1024 * _MIB)


def compression_of(start: bytes) -> str:
    """Name of the compression a file with these first bytes uses; empty for none."""
    for magic, name in _UNSUPPORTED.items():
        if start.startswith(magic):
            return name
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start.startswith(b"BZh"):
        return "bz2"
    if start.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if start.startswith(b"\x5d\x00\x00"):
        return "lzma"
    # A zlib header is two bytes: deflate with a 32 kB window, and a check of both.
    if len(start) >= 2 and start[0] == 0x78 and (start[0] << 8 | start[1]) % 31 == 0:
        return "zlib"
    return ""


class ByteStream:
    """The unpacked bytes of an open file, read forwards.

    Args:
        file: an open binary file at its start.
        limit: unpacked bytes after which reading is refused.
        longest_line: bytes of a line of text after which reading is refused.
    """

    def __init__(self, file: BinaryIO, limit: int, longest_line: int = 1 << 20) -> None:
        self._chunks = _unpacked(file)
        self._buffer = b""
        self._pos = 0
        self._left = limit
        self._longest_line = longest_line

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes, fewer only at the end of the file.

        Memory follows the bytes that are there, not the count that is asked for.
        """
        end = self._pos + count
        if end <= len(self._buffer):
            piece = self._buffer[self._pos : end]
            self._pos = end
            return piece
        self._check(count - (len(self._buffer) - self._pos))
        pieces = [self._buffer[self._pos :]]
        missing = count - len(pieces[0])
        self._pos = len(self._buffer)
        while missing > 0 and self._refill():
            piece = self._buffer[:missing]
            self._pos = len(piece)
            missing -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def read_exactly(self, count: int) -> bytes:
        """The next ``count`` bytes.

        Raises:
            StreamFault: the file ends before.
        """
        data = self.read(count)
        if len(data) < count:
            raise StreamFault(f"the file ends early ({count - len(data)} of {count} bytes of an array are missing)")
        return data

    def readline(self) -> bytes:
        """Bytes up to and with the next line feed."""
        pieces: list[bytes] = []
        length = 0
        while True:
            end = self._buffer.find(b"\n", self._pos)
            stop = end + 1 if end >= 0 else len(self._buffer)
            pieces.append(self._buffer[self._pos : stop])
            length += stop - self._pos
            self._pos = stop
            if end >= 0 or length > self._longest_line or not self._refill():
                break
        if length > self._longest_line:
            raise StreamFault(f"a text line of more than {self._longest_line} bytes")
        return b"".join(pieces)

    def charge(self, count: int) -> None:
        """Counts ``count`` bytes of memory, taken for something that the stream described, against the limit."""
        self._check(count)
        self._left -= count

    def _refill(self) -> bool:
        """Replaces the used-up buffer by the next chunk; False at the end of the file."""
        try:
            self._buffer = next(self._chunks, b"")
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise StreamFault(f"damaged or cut short ({error})") from error
        self._pos = 0
        self._check(len(self._buffer))
        self._left -= len(self._buffer)
        return bool(self._buffer)

    def _check(self, wanted: int) -> None:
        if wanted > self._left:
            raise StreamFault("it unpacks to (or claims) far more data than a motion file of its size can hold")


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    """Non-empty chunks of the file's content after decompression."""
    start = file.read(8)
    file.seek(-len(start), 1)
    name = compression_of(start)
    if name in ("zlib", "gzip"):
        chunks = _inflate(file)
    elif name == "bz2":
        chunks = _expand(file, bz2.BZ2Decompressor())
    elif name in ("xz", "lzma"):
        chunks = _expand(file, lzma.LZMADecompressor(memlimit=_LZMA_MEMORY))
    elif name:
        raise StreamFault(f"compressed with {name}, which is not supported")
    else:
        chunks = iter(lambda: file.read(_CHUNK), b"")
    return (chunk for chunk in chunks if chunk)


def _inflate(file: BinaryIO) -> Iterator[bytes]:
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: zlib and gzip headers alike
    while not decoder.eof:
        data = decoder.unconsumed_tail or file.read(_CHUNK)
        chunk = decoder.decompress(data, _CHUNK)
        if not data and not chunk and not decoder.eof:
            raise EOFError("the compressed data end early")
        yield chunk


def _expand(file: BinaryIO, decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> Iterator[bytes]:
    while not decoder.eof:
        data = file.read(_CHUNK) if decoder.needs_input else b""
        if decoder.needs_input and not data:
            raise EOFError("the compressed data end early")
        yield decoder.decompress(data, _CHUNK)


def unpacked_start(path: Path, count: int) -> bytes:
    """The first ``count`` unpacked bytes of a file, or as many as can be had; empty if it is too damaged."""
    found = b""
    with path.open("rb") as file:
        try:
            for chunk in _unpacked(file):
                found += chunk
                if len(found) >= count:
                    break
        except (OSError, EOFError, StreamFault, zlib.error, lzma.LZMAError):
            return found
    return found[:count]
