"""What a motion file does not say about itself and somebody must: frame rate, unit, axes, frames to leave out.

Nothing of this is ever guessed. It is looked for, in this order: the caller's options, a sidecar beside the file
(:mod:`puffer_phc.motions.formats.sidecar`), the file, what is known of a rig that the file's content proves
(:mod:`puffer_phc.motions.formats.rigs`). What is still missing then is asked for by the name of its option.

The caller's frame rate is the exception, for it is told about many files at once of which only some lack one: ``fps``
comes last, ``override_fps`` first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from puffer_phc.errors import InputError

G1 = "unitree_g1"
ROBOTS = (G1,)
"""Robots whose joint angles can be read where a file does not say whose they are."""

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}
"""Metres per unit, by name."""

_FORWARD = ("x", "-x", "y", "-y", "z", "-z")
_NUMBERS = ("fps", "override_fps", "unit", "skip_first")
_MAX_SKIP = 10**9


@dataclass(frozen=True)
class SourceOptions:
    """Facts about a motion file that override or complete what it says; None leaves a fact to the file.

    Attributes:
        fps: frames per second of files that do not say.
        override_fps: frames per second whatever the file says.
        unit: metres per unit of length.
        up: the axis that points up, ``y`` or ``z``.
        forward: the axis that the rest pose faces, one of x, -x, y, -y, z, -z; where the file does not show it, z for
            files with y up and x for files with z up. A wrong one turns the whole motion about the vertical.
        skip_first: frames to leave out at the beginning.
        skeleton_file: the ``.asf`` that belongs to an ``.amc``.
        source_robot: whose joint angles the file holds, one of :data:`ROBOTS`.

    Raises:
        InputError: at construction, when a value is impossible; it names the option.
    """

    fps: float | None = None
    unit: float | None = None
    up: str | None = None
    forward: str | None = None
    skip_first: int | None = None
    skeleton_file: str | Path | None = None
    source_robot: str | None = None
    override_fps: float | None = None

    def __post_init__(self) -> None:
        _check(self, "--")

    def over(self, other: SourceOptions) -> SourceOptions:
        """These options, and ``other``'s where these are None."""
        return replace(other, **{f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None})


def options_from_texts(where: str | Path, texts: Mapping[str, str]) -> SourceOptions:
    """Options from a table of texts, such as a sidecar's; empty texts and unknown names are passed over.

    Units may be numbers or one of m, cm, mm, inch.

    Raises:
        InputError: naming ``where`` and the key that makes no sense.
    """
    values: dict[str, Any] = {}
    for name in (*_NUMBERS, "up", "forward", "skeleton_file", "source_robot"):
        text = texts.get(name, "").strip()
        if text:
            values[name] = UNITS[text] if name == "unit" and text in UNITS else _value(where, name, text)
    try:
        return SourceOptions(**values)
    except InputError as error:
        raise InputError(
            where, f"{error.where.removeprefix('--').replace('-', '_')} {error.fault}", error.remedy
        ) from error


def _value(where: str | Path, name: str, text: str) -> object:
    if name not in _NUMBERS:
        return text
    try:
        return int(text) if name == "skip_first" else float(text)
    except ValueError:
        raise InputError(where, f"{name} is {text[:40]!r}, which is no number", f"correct {name}") from None


def _check(options: SourceOptions, prefix: str) -> None:
    def refuse(name: str, remedy: str) -> InputError:
        return InputError(prefix + name.replace("_", "-"), f"is {getattr(options, name)!r}", remedy)

    numbers = {"fps": "frames per second must be", "unit": "metres per unit of length must be"}
    for name, remedy in {**numbers, "override_fps": numbers["fps"]}.items():
        value = getattr(options, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise refuse(name, f"{remedy} a finite number above 0")
    if options.up not in (None, "y", "z"):
        raise refuse("up", "the axis that points up must be y or z")
    if options.forward is not None and options.forward not in _FORWARD:
        raise refuse("forward", f"it must be one of {', '.join(_FORWARD)}")
    if options.up is not None and options.forward is not None and options.forward.endswith(options.up):
        raise refuse("forward", f"it must be across --up {options.up}")
    if options.source_robot not in (None, *ROBOTS):
        raise refuse("source_robot", f"it must be one of {', '.join(ROBOTS)}")
    if options.skip_first is not None and not 0 <= options.skip_first < _MAX_SKIP:
        raise refuse("skip_first", "it must be a number of frames, 0 or more")


NO_OPTIONS = SourceOptions()
