"""Options in ini files: reading, laying over one another, writing."""

from __future__ import annotations

import configparser
import dataclasses
import types
import typing
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, TypeVar

from puffer_phc.config import Config, SweepConfig, to_dict
from puffer_phc.errors import InputError
from puffer_phc.old_names import remedy

Section = TypeVar("Section")


def load_ini(cfg: Config, path: Path) -> Config:
    """``cfg`` with the options of an ini file laid over it.

    Raises:
        InputError: the file is missing or no ini file, or names a section, an option or a value that does not exist.
    """
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#", ";"))
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "name an ini file that exists") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InputError(path, f"is no ini file ({error})", "write [section] and option = value lines") from None
    known = {item.name for item in dataclasses.fields(cfg)}
    sections = {}
    for name in parser.sections():
        if name.split(".")[0] == "sweep":
            continue
        if name not in known:
            raise InputError(path, f"unknown section [{name}]", f"use one of {', '.join(sorted(known))}")
        sections[name] = _update_section(getattr(cfg, name), dict(parser[name]), path, name)
    sweep = _update_section(cfg.sweep, _sweep_options(parser), path, "sweep")
    return dataclasses.replace(cfg, **sections, sweep=sweep)


def _sweep_options(parser: configparser.ConfigParser) -> dict[str, str]:
    """Options of ``[sweep]``, and of ``[sweep.metric]`` as in other sweeps' files.

    Unknown ones are left for the sweep to refuse, as are the sections of its parameters: training does not need them.
    """
    given = dict(parser["sweep"]) if parser.has_section("sweep") else {}
    metric = parser["sweep.metric"] if parser.has_section("sweep.metric") else {}
    given |= {option: metric[key] for key, option in (("name", "metric"), ("goal", "goal")) if key in metric}
    known = {item.name for item in dataclasses.fields(SweepConfig)}
    return {key: text for key, text in given.items() if key in known}


def _update_section(section: Section, options: dict[str, str], path: Path, name: str) -> Section:
    hints = typing.get_type_hints(type(section))
    values = {}
    for key, text in options.items():
        if key not in hints:
            told = remedy(key)
            if told:
                raise InputError(path, f"{key!r} in [{name}] {told[0]}", told[1])
            raise InputError(path, f"unknown option {key!r} in [{name}]", f"use one of {', '.join(sorted(hints))}")
        try:
            values[key] = parse_value(text, hints[key])
        except ValueError as error:
            raise InputError(path, f"[{name}] {key} = {text}: {error}", "correct the value") from None
    return dataclasses.replace(section, **values)  # type: ignore[type-var]


def parse_value(text: str, hint: Any) -> Any:
    """``text`` as a value of type ``hint``: bool, int, float, str, Literal, tuple[int, ...], or one of these or None.

    Raises:
        ValueError: it is none; the message says what was expected.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if text.lower() in ("none", ""):
            return None
        return parse_value(text, next(argument for argument in arguments if argument is not type(None)))
    if origin is Literal:
        if text not in arguments:
            raise ValueError(f"expected one of {', '.join(arguments)}")
        return text
    if origin is tuple:
        return tuple(parse_value(part, arguments[0]) for part in text.replace(",", " ").split())
    if hint is bool:
        lowered = text.lower()
        if lowered not in ("true", "false"):
            raise ValueError("expected true or false")
        return lowered == "true"
    if hint is int:
        try:
            return int(text.replace("_", ""))
        except ValueError:
            raise ValueError("expected a whole number") from None
    if hint is float:
        try:
            return float(text)
        except ValueError:
            raise ValueError("expected a number") from None
    return text


def to_ini(cfg: Config, leave_out: Collection[str] = ()) -> str:
    """The text of an ini file that :func:`load_ini` reads all options from, but for the sections left out."""
    lines = []
    for name, options in to_dict(cfg).items():
        if name not in leave_out:
            lines += [f"[{name}]", *(f"{key} = {_text_of(value)}" for key, value in options.items()), ""]
    return "\n".join(lines)


def _text_of(value: Any) -> str:
    """The inverse of :func:`parse_value`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
