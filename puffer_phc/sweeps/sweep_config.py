"""What a sweep searches, as ini files tell it, in PufferLib's layouts.

One section for each parameter, ``[sweep.train.learning_rate]`` or
``[sweep.parameters.train.parameters.learning_rate]``, with ``distribution``, ``min``, ``max``, and if wanted ``mean``
(or ``center``) and ``scale``. The parameters of the last file that names any are the ones searched.
"""

from __future__ import annotations

import configparser
import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from puffer_phc.config import Config, SweepConfig
from puffer_phc.config_checks import check
from puffer_phc.errors import InputError
from puffer_phc.sweeps.spaces import Kind, Space

DISTRIBUTIONS: dict[str, Kind] = {
    "uniform": "linear",
    "int_uniform": "linear",
    "uniform_pow2": "pow2",
    "log_normal": "log",
    "log_uniform_values": "log",
    "logit_normal": "logit",
}
_KEYS = ("distribution", "min", "max", "mean", "center", "scale")
_TIME_SCALE = math.log10(2.0)  # PufferLib's scale "time": a factor of two
_NUDGE = 1e-9  # of the range; continuous spaces never reach their bounds
_LEAST_INTEGER_SCALE = 3.0  # below, one step is more than a whole number


def read_spaces(cfg: Config, files: Sequence[Path]) -> list[Space]:
    """The search spaces, each named ``section.option``, that the last of the files with any describes.

    Raises:
        InputError: a section or key is wrong, a bound is no possible value of its option, or there are no spaces.
    """
    spaces: list[Space] = []
    for path in files:
        found = _spaces_of(cfg, path)
        spaces = found or spaces
    if not spaces:
        where = ", ".join(map(str, files)) or "config.ini"
        raise InputError(where, "names nothing to search", "add a section such as [sweep.train.learning_rate]")
    return spaces


def with_values(cfg: Config, values: Mapping[str, Any]) -> Config:
    """``cfg`` with the options ``section.option`` set."""
    for name, value in values.items():
        section, option = name.split(".")
        changed = dataclasses.replace(getattr(cfg, section), **{option: value})
        cfg = dataclasses.replace(cfg, **{section: changed})
    return cfg


def _spaces_of(cfg: Config, path: Path) -> list[Space]:
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#", ";"))
    parser.read(path, encoding="utf-8")
    _check_general(parser, path)
    spaces: dict[str, Space] = {}
    for section in parser.sections():
        if not section.startswith("sweep.") or section == "sweep.metric":
            continue
        name = _option_of(section, path)
        if name in spaces:
            raise InputError(path, f"[{section}] describes {name} once more", "keep one section of it")
        spaces[name] = _space(cfg, name, dict(parser[section]), path, section)
    return list(spaces.values())


def _check_general(parser: configparser.ConfigParser, path: Path) -> None:
    known = [item.name for item in dataclasses.fields(SweepConfig)]
    for section, keys in (("sweep", known), ("sweep.metric", ["name", "goal"])):
        for key in parser[section] if parser.has_section(section) else ():
            if key not in keys:
                raise InputError(path, f"unknown option {key!r} in [{section}]", f"use one of {', '.join(keys)}")


def _option_of(section: str, path: Path) -> str:
    """``train.gamma`` of ``sweep.train.gamma`` or ``sweep.parameters.train.parameters.gamma``, known to be a number."""
    parts = section.split(".")[1:]
    if len(parts) == 4 and parts[0] == parts[2] == "parameters":
        parts = [parts[1], parts[3]]
    searched = [item.name for item in dataclasses.fields(Config) if item.name not in ("base", "sweep")]
    if len(parts) != 2 or parts[0] not in searched:
        remedy = f"write [sweep.SECTION.OPTION], SECTION one of {', '.join(searched)}"
        raise InputError(path, f"[{section}] names no parameter", remedy)
    hints = _hints(parts[0])
    if parts[1] not in hints:
        fault = f"[{section}] names the unknown parameter {parts[1]!r}"
        raise InputError(path, fault, f"use one of {', '.join(_numbers(hints))}")
    if hints[parts[1]] not in (int, float):
        raise InputError(path, f"[{section}] {parts[1]} is no number", f"search one of {', '.join(_numbers(hints))}")
    return ".".join(parts)


def _hints(section: str) -> dict[str, Any]:
    return typing.get_type_hints(typing.get_type_hints(Config)[section])


def _numbers(hints: Mapping[str, Any]) -> list[str]:
    return sorted(name for name, hint in hints.items() if hint in (int, float))


def _space(cfg: Config, name: str, keys: dict[str, str], path: Path, section: str) -> Space:
    for key in keys:
        if key not in _KEYS:
            raise InputError(path, f"unknown key {key!r} in [{section}]", f"use one of {', '.join(_KEYS)}")
    for key in ("distribution", "min", "max"):
        if key not in keys:
            raise InputError(path, f"[{section}] has no {key}", "give distribution, min and max")
    if keys["distribution"] not in DISTRIBUTIONS:
        fault = f"[{section}] distribution = {keys['distribution']} is unknown"
        raise InputError(path, fault, f"use one of {', '.join(DISTRIBUTIONS)}")
    kind = DISTRIBUTIONS[keys["distribution"]]
    integer = _hints(name.split(".")[0])[name.split(".")[1]] is int
    low, high = (_number(keys, key, path, section) for key in ("min", "max"))
    _check_bounds(kind, low, high, path, section)
    if keys["distribution"] == "int_uniform" and not integer:
        raise InputError(path, f"[{section}] distribution = int_uniform, but {name} is no whole number", "use uniform")
    center_key = "center" if "center" in keys else "mean"
    center = _number(keys, center_key, path, section) if center_key in keys else _middle(kind, low, high, integer)
    if not low <= center <= high:
        raise InputError(path, f"[{section}] {center_key} = {center:g} lies outside", f"use {low:g} to {high:g}")
    scale = _scale(keys.get("scale", "auto"), kind, low, high, integer, (path, section))
    try:
        space = Space(name, kind, low, high, center, scale, integer)
    except InputError as error:
        raise InputError(path, f"[{section}] {error.fault}", error.remedy) from None
    _check_values(cfg, space, path, section, center_key)
    return space


def _number(keys: Mapping[str, str], key: str, path: Path, section: str) -> float:
    try:
        number = float(keys[key])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(path, f"[{section}] {key} = {keys[key]} is no finite number", "give a number")
    return number


def _check_bounds(kind: Kind, low: float, high: float, path: Path, section: str) -> None:
    if not low < high:
        raise InputError(path, f"[{section}] min = {low:g} is not below max = {high:g}", "give a smaller min than max")
    if kind in ("log", "pow2") and low <= 0.0:
        raise InputError(path, f"[{section}] min = {low:g} has no logarithm", "give a positive min, or use uniform")
    if kind == "logit" and not (low >= 0.0 and high <= 1.0):
        key, value = ("min", low) if low < 0.0 else ("max", high)
        raise InputError(path, f"[{section}] {key} = {value:g} has no log-odds", "keep 0 <= min < max <= 1")


def _middle(kind: Kind, low: float, high: float, integer: bool) -> float:
    """The middle in basic coordinates; of odds without end, of the values."""
    if kind == "logit" and low > 0.0 and high < 1.0:
        odds = math.sqrt(low / (1.0 - low) * high / (1.0 - high))
        return odds / (1.0 + odds)
    if kind == "pow2":
        return 2.0 ** round(0.5 * math.log2(low * high))
    middle = math.sqrt(low * high) if kind == "log" else 0.5 * (low + high)
    return float(round(middle)) if integer else middle


def _scale(text: str, kind: Kind, low: float, high: float, integer: bool, where: tuple[Path, str]) -> float:
    """One basic unit; ``auto`` is a quarter of the range, of endless ranges a factor of ten in the odds."""
    if text == "time":
        return _TIME_SCALE
    if text != "auto":
        scale = _number({"scale": text}, "scale", *where)
        if not scale > 0.0:
            raise InputError(where[0], f"[{where[1]}] scale = {text} is not positive", "use auto or a positive number")
        return scale
    if kind == "linear":
        return max(0.25 * (high - low), _LEAST_INTEGER_SCALE if integer else 0.0)
    if kind == "logit":
        endless = low <= 0.0 or high >= 1.0
        return 1.0 if endless else 0.25 * math.log10(high / (1.0 - high) / (low / (1.0 - low)))
    return 0.25 * math.log10(high / low)


def _check_values(cfg: Config, space: Space, path: Path, section: str, center_key: str) -> None:
    """Refuse bounds and centre that the option itself would refuse."""
    inside = 0.0 if space.integer else _NUDGE * (space.high - space.low)
    for key, value in (("min", space.low + inside), ("max", space.high - inside), (center_key, space.center)):
        try:
            check(with_values(cfg, {space.name: round(value) if space.integer else value}))
        except InputError as error:
            raise InputError(path, f"[{section}] {key} = {value:g}: {error.fault}", error.remedy) from None
