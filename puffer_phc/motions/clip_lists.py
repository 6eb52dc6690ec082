"""Lists of clips as plain text (``.txt``), such as the ``failed.txt`` of an evaluation.

One clip a line: the path of a motion file (or folder, manifest, packed data set), from the list's own folder on;
``PATH::NAME`` is the clip NAME of what is at PATH. Empty lines and lines that begin with ``#`` say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip

SUFFIX = ".txt"
SEPARATOR = "::"
Loader = Callable[[str], tuple[list[MotionClip], list[float]]]


@dataclass(frozen=True)
class ListedClip:
    """One line of a list.

    Attributes:
        source: path that the clip is at, as to be opened.
        name: which clip of that, or None for all.
        line: where the list names it.
    """

    source: str
    name: str | None
    line: int


def is_clip_list(path: str | Path) -> bool:
    """Whether a path the user gave is that of a list: a ``.txt`` file that is empty or begins with a path there is."""
    path = Path(path)
    if path.suffix != SUFFIX or not path.is_file():
        return False
    try:
        lines = _lines(path)
    except InputError:  # whatever it is, it is no list
        return False
    if not lines:
        return True
    first = lines[0][1]
    # The name of a file is short; a line of numbers in a motion file need not be.
    return SEPARATOR in first or (len(first) < 1000 and (path.parent / first).exists())


def lines_of(source: str | Path, names: Iterable[str]) -> list[str]:
    """The lines of clips by name of what is at ``source``, good in any folder.

    Clips that came by a list keep the lines they have there, since a new list may take its place.
    """
    known: dict[str, str] = {}
    if is_clip_list(source):
        for entry in read_clip_list(source):
            place = str(Path(entry.source).absolute())
            known[entry.name or Path(place).stem] = f"{place}{SEPARATOR}{entry.name}" if entry.name else place
    root = Path(source).absolute()
    return [known.get(name, f"{root}{SEPARATOR}{name}") for name in map(_one_line, names)]


def read_clip_list(path: str | Path) -> list[ListedClip]:
    """The lines of a list.

    Raises:
        InputError: it cannot be read, names nothing, or something that is not there or twice.
    """
    path = Path(path)
    clips: list[ListedClip] = []
    seen: dict[str, int] = {}
    for number, text in _lines(path):
        place, separator, name = text.partition(SEPARATOR)
        if not place or (separator and not name):
            raise InputError(path, f"line {number}: {text[:80]!r} names no clip", f"write PATH or PATH{SEPARATOR}NAME")
        if seen.setdefault(text, number) != number:
            raise InputError(path, f"line {number}: {text[:80]} is in line {seen[text]} already", "remove one")
        clips.append(ListedClip(str(path.parent / place), name or None, number))
    if not clips:
        raise InputError(path, "it names no clip", "a list of failed clips is empty where none failed; give another")
    return clips


def load_clip_list(path: str | Path, load: Loader) -> tuple[list[MotionClip], list[float]]:
    """The clips of a list, in its order, and the weight of each.

    Names that several sources share are prefixed with the number of the line.

    Args:
        path: the list.
        load: gives all clips, and their weights, of a source; is asked once for each.

    Raises:
        InputError: as :func:`read_clip_list`, or a source has no such clip.
    """
    loaded: dict[str, dict[str, tuple[MotionClip, float]]] = {}
    chosen: list[tuple[MotionClip, float]] = []
    taken: set[str] = set()
    for entry in read_clip_list(path):
        if is_clip_list(entry.source):
            fault = f"line {entry.line}: {entry.source} is a list, too"
            raise InputError(path, fault, "name the motions that it names")
        if entry.source not in loaded:
            clips, weights = load(entry.source)
            loaded[entry.source] = {
                _one_line(clip.name): (clip, weight) for clip, weight in zip(clips, weights, strict=True)
            }
        for clip, weight in _picked(Path(path), entry, loaded[entry.source]):
            name = clip.name if clip.name not in taken else f"{entry.line}_{clip.name}"
            taken.add(name)
            chosen.append((replace(clip, name=name), weight))
    return [clip for clip, _ in chosen], [weight for _, weight in chosen]


def names_of_source(path: str | Path, source: str) -> list[str]:
    """The names in a list whose clips are all of one source.

    Raises:
        InputError: a line is of another source, or names all of its clips.
    """
    names = []
    for entry in read_clip_list(path):
        if entry.source != source or entry.name is None:
            fault = f"line {entry.line}: {entry.source} cannot be mixed with the packed {source}"
            raise InputError(path, fault, f"name clips of one packed file alone, as PATH{SEPARATOR}NAME")
        names.append(entry.name)
    return names


def _picked(
    path: Path, entry: ListedClip, clips: dict[str, tuple[MotionClip, float]]
) -> Sequence[tuple[MotionClip, float]]:
    if entry.name is None:
        return list(clips.values())
    if entry.name not in clips:
        some = ", ".join(list(clips)[:5]) + (", ..." if len(clips) > 5 else "")
        raise InputError(path, f"line {entry.line}: {entry.source} has no clip {entry.name!r}", f"it has {some}")
    return [clips[entry.name]]


def _lines(path: Path) -> list[tuple[int, str]]:
    """Number and text of every line that says something."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check the path") from None
    except UnicodeDecodeError:
        raise InputError(path, "is no text", "give a list of clips, one a line") from None
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _one_line(name: str) -> str:
    """``name`` without tabs and line breaks, which would tear a line apart."""
    return " ".join(name.split())
