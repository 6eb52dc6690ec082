"""The part of YAML that data-set manifests are written in, read with line numbers for messages.

Top-level ``key: value`` lines, one list of ``- value`` or of ``- key: value`` items whose further keys are indented,
comments, and plain, single- or double-quoted values on one line. Everything else of YAML is refused, not guessed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from puffer_phc.errors import InputError
from puffer_phc.motions.formats.text import read_text

_KEY = re.compile(r"([A-Za-z_][\w-]*)\s*:(?:\s+(.*))?$")
_PLAIN_STOP = re.compile(r"\s#")
_SPECIAL = tuple("&*!|>{}[]%@`,?\"'")  # what a plain value cannot begin with
_BREAK = re.compile("\r\n|\r|\n")
_UNUSUAL = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # line breaks to some readers, forbidden to others
_MAX_BYTES = 64 << 20
_REMEDY = "write 'key: value' lines, lists of '- key: value' with further keys indented, quotes around odd values"


@dataclass(frozen=True)
class Scalar:
    """A value as text, with the number of its line."""

    text: str
    line: int


@dataclass
class Item:
    """One item of a list: its keys, or under the key "" the value of one without any; and its line."""

    line: int
    values: dict[str, Scalar] = field(default_factory=dict)


@dataclass
class Document:
    """Top-level values and lists by key, and the line of each list's key."""

    values: dict[str, Scalar] = field(default_factory=dict)
    lists: dict[str, list[Item]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


def read_document(path: Path) -> Document:
    """The content of a file.

    Raises:
        InputError: the file is missing, too large, or not in this part of YAML; names the line.
    """
    try:
        text = read_text(path, _MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(path, "it is not UTF-8 text", "save it as UTF-8") from None
    document = Document()
    items: list[Item] | None = None
    key_column = dash_column = -1
    for number, raw in enumerate(_BREAK.split(text), start=1):
        line = raw.rstrip()
        content = line.lstrip(" ")
        if not content or content.startswith("#") or (line in ("---", "...")):
            continue
        column = len(line) - len(content)
        if content.startswith("\t"):
            raise InputError(path, f"line {number} is indented with a tab", "indent with spaces")
        if content == "-" or content.startswith("- "):
            if items is None or (items and column != dash_column):
                raise InputError(path, f"line {number}: a list item where none can be", _REMEDY)
            dash_column, inner = column, content[1:].lstrip(" ")
            key_column = column + len(content) - len(inner)
            items.append(Item(number))
            _add_to_item(path, number, items[-1], inner)
        elif column == 0:
            items = _add_to_document(path, number, document, content)
        elif items and column == key_column and "" not in items[-1].values:
            _add_to_item(path, number, items[-1], content)
        else:
            raise InputError(path, f"line {number}: unexpected indentation", _REMEDY)
    return document


def quoted(text: str) -> str:
    """``text`` as a double-quoted value that any YAML reader understands."""
    return _UNUSUAL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def _add_to_document(path: Path, number: int, document: Document, content: str) -> list[Item] | None:
    """Take a top-level line; returns the list that it opens, if it does."""
    key, text = _pair(path, number, content)
    if key in document.lines:
        raise InputError(path, f"line {number}: {key} is given a second time", "remove one")
    document.lines[key] = number
    if text:
        document.values[key] = Scalar(_value(path, number, text), number)
        return None
    return document.lists.setdefault(key, [])


def _add_to_item(path: Path, number: int, item: Item, content: str) -> None:
    if not _KEY.match(content):
        if item.values or not content or content.startswith("#"):
            raise InputError(path, f"line {number} is not of the form key: value", _REMEDY)
        item.values[""] = Scalar(_value(path, number, content), number)
        return
    key, text = _pair(path, number, content)
    if key in item.values:
        raise InputError(path, f"line {number}: {key} is given a second time", "remove one")
    if not text:
        raise InputError(path, f"line {number}: {key} has no value", "give one on the same line")
    item.values[key] = Scalar(_value(path, number, text), number)


def _pair(path: Path, number: int, content: str) -> tuple[str, str]:
    match = _KEY.match(content)
    if match is None:
        raise InputError(path, f"line {number} is not of the form key: value", _REMEDY)
    text = (match[2] or "").strip()
    return match[1], "" if text.startswith("#") else text


def _value(path: Path, number: int, text: str) -> str:
    """The text that a value stands for, without quotes and comment."""
    if text.startswith('"'):
        try:
            value, end = json.JSONDecoder().raw_decode(text)
        except ValueError:
            raise InputError(path, f"line {number}: a quoted value does not end or is malformed", _REMEDY) from None
    elif text.startswith("'"):
        match = re.match(r"'((?:[^']|'')*)'", text)
        if match is None:
            raise InputError(path, f"line {number}: a quoted value does not end", _REMEDY)
        value, end = match[1].replace("''", "'"), match.end()
    elif text.startswith(_SPECIAL) or text.startswith("- "):
        raise InputError(path, f"line {number}: {text[:40]} is more of YAML than is read here", _REMEDY)
    else:
        stop = _PLAIN_STOP.search(text)
        value, end = (text[: stop.start()], len(text)) if stop else (text, len(text))
        value = value.rstrip()
        if ": " in value or value.endswith(":"):
            raise InputError(path, f"line {number}: a colon in a value", "put the value in quotes")
    rest = text[end:].strip()
    if rest and not rest.startswith("#"):
        raise InputError(path, f"line {number}: something follows a quoted value", _REMEDY)
    return str(value)
