"""The HIERARCHY part of a BVH file: joints, their offsets and their channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.motions.formats.text import MAX_BODIES, as_name, as_text, to_float

_EXPORT = "export the file again"
_MAX_BYTES = 4 << 20
_MAX_CHANNELS = 6
_CHANNELS = {
    f"{axis}{kind}".encode(): kind[0] + axis for axis in "xyz" for kind in ("position", "rotation")
}  # b"xposition" -> "px"


@dataclass(frozen=True)
class Joint:
    """One joint as the file describes it.

    Attributes:
        name: as in the file.
        parent: index of the parent, -1 for the root.
        offset: (3,) from the parent's origin at rest, in the file's unit.
        channels: ``px py pz`` and ``rx ry rz`` in the file's order.
        first: number of the joint's first channel.
    """

    name: str
    parent: int
    offset: np.ndarray
    channels: tuple[str, ...]
    first: int


class _Reader:
    """Takes the words of the hierarchy one by one; nesting is a list, so that its depth costs no recursion."""

    def __init__(self, path: Path, text: bytes) -> None:
        self.path = path
        self.words: Iterator[bytes] = iter(text.replace(b"{", b" { ").replace(b"}", b" } ").split())

    def next(self, what: str) -> bytes:
        word = next(self.words, None)
        if word is None:
            raise InputError(self.path, f"the hierarchy ends where {what} should be", _EXPORT)
        return word

    def expect(self, word: bytes) -> None:
        found = self.next(word.decode())
        if found.upper() != word:
            raise InputError(self.path, f"the hierarchy has {as_text(found)!r} instead of {word.decode()}", _EXPORT)

    def name(self) -> str:
        """The words up to the opening brace."""
        parts: list[bytes] = []
        while (word := self.next("the name of a joint")) != b"{":
            parts.append(word)
            if len(parts) > 8:
                raise InputError(self.path, f"the name of joint {as_text(parts[0])} does not end", _EXPORT)
        if not parts:
            raise InputError(self.path, "a joint has no name", _EXPORT)
        return as_name(b" ".join(parts))

    def offset(self, name: str) -> np.ndarray:
        self.expect(b"OFFSET")
        return np.array([to_float(self.path, f"the offset of {name}", self.next("an offset")) for _ in range(3)])

    def channels(self, name: str) -> tuple[str, ...]:
        self.expect(b"CHANNELS")
        count = self.next("a number of channels")
        if not count.isdigit() or len(count) > 2 or int(count) > _MAX_CHANNELS:
            raise InputError(self.path, f"joint {name} has {as_text(count)!r} channels", "a joint has at most 6")
        found = [_CHANNELS.get(self.next("a channel").lower(), "") for _ in range(int(count))]
        if "" in found or len(set(found)) < len(found):
            raise InputError(
                self.path, f"joint {name} has unknown or repeated channels", "they must be Xposition to Zrotation"
            )
        return tuple(found)


def read_hierarchy(path: Path, text: bytes) -> tuple[Joint, ...]:
    """The joints, parents before children, of the text between HIERARCHY and MOTION. End sites are left out.

    Raises:
        InputError: braces, names, offsets or channels are not as they must be, or there are several roots.
    """
    if len(text) > _MAX_BYTES:
        raise InputError(path, "its hierarchy is larger than 4 MiB", _EXPORT)
    reader = _Reader(path, text)
    reader.expect(b"HIERARCHY")
    reader.expect(b"ROOT")
    joints: list[Joint] = []
    open_joints: list[int] = []
    total = 0

    def add() -> None:
        nonlocal total
        if len(joints) >= MAX_BODIES:
            raise InputError(path, f"more than {MAX_BODIES} joints", _EXPORT)
        name = reader.name()
        offset, channels = reader.offset(name), reader.channels(name)
        joints.append(Joint(name, open_joints[-1] if open_joints else -1, offset, channels, total))
        open_joints.append(len(joints) - 1)
        total += len(channels)

    add()
    while open_joints:
        word = reader.next("a closing brace").upper()
        if word == b"JOINT":
            add()
        elif word == b"END":
            site = reader.name()  # "Site", perhaps with a name of its own
            reader.offset(site)
            reader.expect(b"}")
        elif word == b"}":
            open_joints.pop()
        else:
            raise InputError(path, f"the hierarchy has {as_text(word)!r} instead of JOINT or a closing brace", _EXPORT)
    odd = next(reader.words, None)
    if odd is not None:
        fault = "it has several roots" if odd.upper() == b"ROOT" else f"{as_text(odd)!r} follows the hierarchy"
        raise InputError(path, fault, "store one skeleton per file")
    return tuple(joints)
