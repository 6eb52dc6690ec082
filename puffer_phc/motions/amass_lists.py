"""What PHC's users know of AMASS besides the motions: its split, its keys, and lists of clips to cut or leave out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.motions.formats.header import read_header
from puffer_phc.motions.formats.text import read_text
from puffer_phc.motions.unpickle import read_pickle

Split = Literal["train", "valid", "test", "all"]

# AMASS renamed several data sets since PHC; its present names follow the bars.
_TRAIN = (
    "CMU MPI_Limits|PosePrior TotalCapture KIT EKUT TCD_handMocap|TCDHands BMLhandball DanceDB ACCAD BMLmovi "
    "BioMotionLab_NTroje|BMLrub Eyes_Japan_Dataset|EyesJapanDataset DFaust_67|DFaust"
)
_VALID = "HumanEva MPI_HDM05|HDM05 SFU MPI_mosh|MoSh"
_TEST = "Transitions_mocap|Transitions SSM_synced|SSM"

_DATA_SETS: dict[str, Split] = {}
for _split, _names in (("train", _TRAIN), ("valid", _VALID), ("test", _TEST)):
    _DATA_SETS.update({name: _split for name in _names.replace("|", " ").split()})  # type: ignore[misc]

_CUT_ISSUES = ("sitting", "airborne")  # what can still be used up to the bad frame
_LIST_FPS = 30.0
_REMEDY = "give PHC's .pkl, a JSON object {key: {issue, idxs}} or lines 'key issue [frame]'"
_KEYS_REMEDY = "give a failed_*.pkl, a JSON list of keys or a text file with one key a line"


@dataclass(frozen=True)
class Occlusion:
    """What is wrong with a clip.

    Attributes:
        issue: such as sitting (on something that is not there) or airborne.
        bound: s, the first bad moment, up to which the clip can be used; None if all of it must be left out.
    """

    issue: str
    bound: float | None


def split_of(path: Path) -> Split | None:
    """The part of PHC's split that a file's data set belongs to, by the nearest folder of a known name."""
    return next((_DATA_SETS[part] for part in reversed(path.parent.parts) if part in _DATA_SETS), None)


def key_of(path: Path, name_offset: int = -3) -> str:
    """PHC's key of a file: ``0-`` and the parts of its path from ``name_offset`` on, joined by ``_``."""
    return "0-" + "_".join(path.with_suffix("").parts[name_offset:])


def read_occlusions(path: Path) -> dict[str, Occlusion]:
    """Occlusions by key from PHC's ``amass_copycat_occlusion`` pickle, the same as JSON, or lines of text.

    A record is ``{"issue": text, "idxs": [frames at 30 fps]}``; a line is ``key issue [first bad frame]``. As in PHC,
    clips with the issues sitting or airborne and a frame are cut there, all others left out.

    Raises:
        InputError: the file is missing or damaged, or a record or line makes no sense.
    """
    content = _content(path)
    if isinstance(content, str):
        return dict(_line(path, number, words) for number, words in _lines(content))
    if not isinstance(content, dict) or not content:
        raise InputError(path, "it is no list of occlusions", _REMEDY)
    return {str(key): _record(path, str(key), record) for key, record in content.items()}


def read_keys(path: Path) -> frozenset[str]:
    """Keys of clips from a ``failed_*.pkl`` that training wrote, a JSON list, or a text file with one key a line.

    Raises:
        InputError: the file is missing or damaged or holds no keys.
    """
    content = _content(path)
    if isinstance(content, str):
        keys: Any = [" ".join(words) for _, words in _lines(content)]
    else:
        keys = content.get("failed_keys") if isinstance(content, dict) else content
    if isinstance(keys, np.ndarray):
        keys = keys.ravel().tolist()
    if not isinstance(keys, Iterable) or isinstance(keys, str | bytes | dict):
        raise InputError(path, "it holds no list of keys", _KEYS_REMEDY)
    found = frozenset(str(key) for key in keys)
    if not found:
        raise InputError(path, "its list of keys is empty", _KEYS_REMEDY)
    return found


def _content(path: Path) -> Any:
    """Data of a pickle or of JSON, or the text of any other file."""
    if not path.is_file():
        raise InputError(path, "there is no such file", "check the path")
    if read_header(path).is_pickle:
        return read_pickle(path)
    text = read_text(path).decode("utf-8", errors="replace")
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"damaged JSON ({error})", "repair the file") from None


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """Numbers and words of the lines that say something; ``#`` begins a comment."""
    numbered = ((number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, words) for number, words in numbered if words]


def _line(path: Path, number: int, words: list[str]) -> tuple[str, Occlusion]:
    if len(words) not in (2, 3) or (len(words) == 3 and not words[2].isdecimal()):
        raise InputError(path, f"line {number} is not of the form key issue [frame]", _REMEDY)
    frames = [int(word) for word in words[2:]]
    return words[0], _occlusion(words[1], frames[0] if frames else None)


def _record(path: Path, key: str, record: object) -> Occlusion:
    issue = record.get("issue") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(issue, str):
        raise InputError(path, f"the record {key[:80]!r} names no issue", _REMEDY)
    frames = np.asarray(record.get("idxs", []))
    if frames.size and (frames.dtype.kind not in "iuf" or not frames.ravel()[0] >= 0):
        raise InputError(path, f"idxs of {key[:80]!r} are no frames", _REMEDY)
    return _occlusion(issue, float(frames.ravel()[0]) if frames.size else None)


def _occlusion(issue: str, frame: float | None) -> Occlusion:
    return Occlusion(issue, frame / _LIST_FPS if issue in _CUT_ISSUES and frame is not None else None)
