"""Acclaim skeletons (``.asf``): bones with a direction, a length, an axis and degrees of freedom, and their hierarchy.

A bone is a body that turns about its beginning, which is its parent's end. At rest all bodies are unturned; a bone's
``axis`` only says in which frame its angles are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.motions.formats.axes import euler_to_quat
from puffer_phc.motions.formats.rigs import CMU_UNIT
from puffer_phc.motions.formats.text import MAX_BODIES, as_name, as_text, read_text, to_float

ROOT = "root"
_EXPORT = "replace it by an intact copy"
_AXES = ("x", "y", "z")
_MAX_BYTES = 4 << 20
_VICON_LENGTH = 0.45  # the files that CMU's Vicon software wrote count inches divided by this


@dataclass
class Bone:
    """One bone as the file describes it, lengths in the file's unit.

    Attributes:
        name: bone name; ``root`` for the root.
        vector: (3,) from its beginning to its end at rest.
        frame: (4,) wxyz, the frame that its angles are counted in.
        order: the axes as their rotation matrices are multiplied from left to right.
        channels: what an ``.amc`` gives for it, in its order: rx, ry, rz, and tx, ty, tz for the root.
    """

    name: str
    vector: np.ndarray = field(default_factory=lambda: np.zeros(3))
    frame: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0, 0.0, 0.0]))
    order: str = "zyx"
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class AsfSkeleton:
    """A whole skeleton, parents before children.

    Attributes:
        bones: B bones, the root first.
        parents: index of each bone's parent, -1 for the root.
        unit: metres per unit where the file says it, else None.
        degrees: angles are in degrees, else in radians.
    """

    bones: tuple[Bone, ...]
    parents: tuple[int, ...]
    unit: float | None
    degrees: bool

    @property
    def offsets(self) -> np.ndarray:
        """(B, 3) where each bone begins, from where its parent begins, at rest."""
        return np.stack([self.bones[parent].vector if parent >= 0 else np.zeros(3) for parent in self.parents])


def read_asf(path: Path) -> AsfSkeleton:
    """The skeleton in an ``.asf`` file.

    Raises:
        InputError: the file is missing or damaged, or a bone does more than turn.
    """
    sections = _sections(path)
    units = {line[0].lower(): line[1] for line in sections.get("units", ()) if len(line) > 1}
    degrees = units.get(b"angle", b"deg").lower().startswith(b"deg")
    length = to_float(path, "length unit", units[b"length"]) if b"length" in units else None
    bones = {ROOT: _bone(path, [[b"name", ROOT.encode()], *_root_lines(sections.get("root", []))], degrees)}
    for block in _blocks(path, sections.get("bonedata", [])):
        bone = _bone(path, block, degrees)
        if not bone.name or bone.name in bones:
            raise InputError(path, f"a bone has no name or the name {bone.name!r} occurs twice", _EXPORT)
        if set(bone.channels) - {"rx", "ry", "rz"}:
            raise InputError(path, f"bone {bone.name} changes its length or place", "only bones that turn are read")
        bones[bone.name] = bone
        if len(bones) > MAX_BODIES:
            raise InputError(path, f"more than {MAX_BODIES} bones", _EXPORT)
    if len(bones) < 2:
        raise InputError(path, "it has no bones", _EXPORT)
    order, parents = _tree(path, list(bones), sections.get("hierarchy", []))
    unit = CMU_UNIT if length == _VICON_LENGTH else None
    return AsfSkeleton(tuple(bones[name] for name in order), tuple(parents), unit, degrees)


def _sections(path: Path) -> dict[str, list[list[bytes]]]:
    """The words of each line under the keyword (``:units`` and so on) that it stands under."""
    sections: dict[str, list[list[bytes]]] = {}
    current: list[list[bytes]] = []
    for line in read_text(path, _MAX_BYTES).splitlines():
        words = line.partition(b"#")[0].split()
        if not words:
            continue
        if words[0].startswith(b":"):
            current = sections.setdefault(as_text(words[0][1:]).lower(), [])
        else:
            current.append(words)
    return sections


def _root_lines(lines: list[list[bytes]]) -> list[list[bytes]]:
    """The root's section in the terms of a bone's: its order are its channels, its orientation is its axis."""
    table = {line[0].lower(): line[1:] for line in lines}
    letters = table.get(b"axis", [b"XYZ"])[-1:]
    return [
        [b"dof", *(table.get(b"order") or b"tx ty tz rx ry rz".split())],
        [b"axis", *table.get(b"orientation", [b"0"] * 3)[:3], *letters],
    ]


def _blocks(path: Path, lines: list[list[bytes]]) -> Iterator[list[list[bytes]]]:
    """The lines between each ``begin`` and ``end``."""
    block: list[list[bytes]] | None = None
    for line in lines:
        word = line[0].lower()
        if word == b"begin":
            block = []
        elif word == b"end" and block is not None:
            yield block
            block = None
        elif block is not None:
            block.append(line)
    if block is not None:
        raise InputError(path, "it ends within a block", _EXPORT)


def _bone(path: Path, block: list[list[bytes]], degrees: bool) -> Bone:
    table = {line[0].lower(): line[1:] for line in block}
    name = as_name(b" ".join(table.get(b"name", [])))
    direction = _floats(path, f"direction of {name}", table.get(b"direction", [b"0"] * 3))
    length = _floats(path, f"length of {name}", table.get(b"length", [b"0"]), 1)[0]
    axis = table.get(b"axis", [b"0", b"0", b"0", b"XYZ"])
    letters = axis[3].decode("latin-1").lower() if len(axis) > 3 else ""
    if sorted(letters) != list(_AXES):
        raise InputError(path, f"axis of {name} has no order such as XYZ", _EXPORT)
    angles = _floats(path, f"axis of {name}", axis[:3])
    if degrees:
        angles = np.radians(angles)
    channels = tuple(word.decode("latin-1").lower() for word in table.get(b"dof", ()))
    if len(set(channels)) < len(channels) or not set(channels) <= {"tx", "ty", "tz", "rx", "ry", "rz", "l"}:
        raise InputError(path, f"{name} has unknown or repeated degrees of freedom", _EXPORT)
    # "XYZ" turns about x first, so its matrix stands rightmost; the three angles are always those of x, y and z.
    order = letters[::-1]
    frame = euler_to_quat(order, angles[["xyz".index(letter) for letter in order]])
    return Bone(name, direction * length, frame, order, channels)


def _floats(path: Path, what: str, words: list[bytes], count: int = 3) -> np.ndarray:
    if len(words) < count:
        raise InputError(path, f"{what} has {len(words)} numbers instead of {count}", _EXPORT)
    return np.array([to_float(path, what, word) for word in words[:count]])


def _tree(path: Path, names: list[str], lines: list[list[bytes]]) -> tuple[list[str], list[int]]:
    """Bones ordered parents first, and the index of each one's parent."""
    children: dict[str, list[str]] = {}
    parent_of: dict[str, str] = {}
    for line in lines:
        if line[0].lower() in (b"begin", b"end"):
            continue
        parent, *below = (as_name(word) for word in line)
        for child in below:
            if child in parent_of or child == ROOT:
                raise InputError(path, f"bone {child} hangs in two places", _EXPORT)
            parent_of[child] = parent
            children.setdefault(parent, []).append(child)
    order: list[str] = []
    waiting = [ROOT]
    while waiting:
        name = waiting.pop()
        order.append(name)
        waiting += reversed(children.get(name, []))
    if sorted(order) != sorted(names):
        odd = sorted(set(order) ^ set(names))[:3]
        raise InputError(path, f"bones and hierarchy do not fit together ({', '.join(odd)})", _EXPORT)
    position = {name: i for i, name in enumerate(order)}
    return order, [-1 if name == ROOT else position[parent_of[name]] for name in order]
