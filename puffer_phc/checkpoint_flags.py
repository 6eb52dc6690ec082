"""``--checkpoint`` given several times, as a list with commas or as a pattern: what to evaluate side by side."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from puffer_phc.errors import InputError

_FLAGS = ("--checkpoint", "-c")


def split_checkpoints(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Arguments without checkpoints, and the checkpoints they name."""
    rest: list[str] = []
    given: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        name, equals, value = argument.partition("=")
        if name in _FLAGS and (equals or waiting):
            given.append(value if equals else waiting.pop(0))
        else:
            rest.append(argument)
    return rest, [path for text in given for path in _expanded(text)]


def _expanded(text: str) -> list[str]:
    """The paths that one value stands for; what exists as it is written is taken so."""
    if Path(text).exists():
        return [text]
    paths: list[str] = []
    for part in text.split(","):
        if glob.has_magic(part) and not Path(part).exists():
            found = sorted(glob.glob(part))
            if not found:
                raise InputError("--checkpoint", f"nothing matches {part}", "check the pattern")
            paths += found
        elif part:
            paths.append(part)
    return paths
