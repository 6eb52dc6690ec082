"""What an MJCF does not say of a robot, read from a YAML file: gains, standing pose, action map, named bodies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from puffer_phc.errors import InputError

_MAX_BYTES = 1 << 20
_RANGE_RULE = re.compile(r"\s*([0-9.eE+-]+)\s*\*\s*range\s*")
_EXAMPLE = "see docs/robots.md and configs/g1.yaml"


@dataclass(frozen=True)
class JointSettings:
    """Of one joint; None leaves what the MJCF or the default says.

    Attributes:
        kp, kd: N m / rad and N m s / rad; by default the joint's stiffness and damping in the MJCF.
        effort: N m that the actuator can give; by default the joint's ``actuatorfrcrange``, else any.
        armature: kg m2.
        default: rad, where the joint stands; three numbers (exponential map) for a ball joint.
        scale: rad of PD target per unit of action, or ``F * range`` of the joint's limits.
        offset: rad, PD target of action 0: a number, ``default`` or ``middle`` (of the limits).
    """

    kp: float | None = None
    kd: float | None = None
    effort: float | None = None
    armature: float | None = None
    default: float | tuple[float, ...] = 0.0
    scale: float | str = "0.7 * range"
    offset: float | str = "default"


@dataclass(frozen=True)
class RobotSettings:
    """Of a robot.

    Attributes:
        name: stored in checkpoints; empty is the MJCF's model name.
        height: m, of the root when standing; None is where the MJCF puts it.
        root_heights: m, lowest and highest root of a robot that has not fallen.
        feet, hands, key_bodies, evaluation: body sets; no ``evaluation`` is all bodies.
        exclude: pairs of bodies that may overlap.
        joint_map: source joints by body, for retargeting.
        joints: patterns (full matches) of joint names and what they set; of several that match, later ones win.
    """

    name: str = ""
    height: float | None = None
    root_heights: tuple[float, float] = (0.0, math.inf)
    feet: tuple[str, ...] = ()
    hands: tuple[str, ...] = ()
    key_bodies: tuple[str, ...] = ()
    evaluation: tuple[str, ...] = ()
    exclude: tuple[tuple[str, str], ...] = ()
    joint_map: Mapping[str, str] = field(default_factory=dict)
    joints: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of_joint(self, name: str) -> JointSettings:
        """What the patterns that match ``name`` set."""
        values: dict[str, Any] = {}
        for pattern, given in self.joints.items():
            if re.fullmatch(pattern, name):
                values |= given
        return JointSettings(**values)


def range_share(rule: str) -> float | None:
    """F of a rule ``F * range``, None for other text."""
    found = _RANGE_RULE.fullmatch(rule)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


def read_settings(path: str | Path) -> RobotSettings:
    """The settings in a file.

    Raises:
        InputError: it is missing, too large, no YAML, or has a key or value that means nothing; the message names it.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(path, f"is larger than {_MAX_BYTES >> 20} MB", _EXAMPLE)
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "name a file that exists") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(path, f"is no YAML ({' '.join(str(error).split())[:160]})", _EXAMPLE) from None
    if not isinstance(data, dict):
        raise InputError(path, "is no table of settings", _EXAMPLE)
    known = {item.name for item in fields(RobotSettings)}
    for key in data:
        if key not in known:
            raise InputError(path, f"unknown key {key!r}", f"use one of {', '.join(sorted(known))}")
    return RobotSettings(**{key: _READERS[key](path, key, value) for key, value in data.items()})


def _number(path: Path, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(path, f"{key} is {value!r}", "give a number")
    return float(value)


def _text(path: Path, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(path, f"{key} is {value!r}", "give a name")
    return value


def _names(path: Path, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InputError(path, f"{key} is {value!r}", "give a list of names")
    return tuple(value)


def _heights(path: Path, key: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(path, f"{key} is {value!r}", "give the lowest and the highest, [0.4, 1.1]")
    low, high = (_number(path, key, number) for number in value)
    return low, high


def _pairs(path: Path, key: str, value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in value):
        raise InputError(path, f"{key} is {value!r}", "give a list of pairs of names")
    return tuple((_text(path, key, a), _text(path, key, b)) for a, b in value)


def _map(path: Path, key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InputError(path, f"{key} is {value!r}", "give lines body: joint")
    return {_text(path, key, body): _text(path, key, joint or "") for body, joint in value.items()}


def _joints(path: Path, key: str, value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict):
        raise InputError(path, f"{key} is {value!r}", "give a table of joint names or patterns")
    known = {item.name for item in fields(JointSettings)}
    result: dict[str, dict[str, Any]] = {}
    for pattern, given in value.items():
        where = f"{key}.{pattern}"
        try:
            re.compile(pattern)
        except (re.error, TypeError):
            raise InputError(path, f"{where} is no pattern", "give a joint's name or a regular expression") from None
        if not isinstance(given, dict):
            raise InputError(path, f"{where} is {given!r}", "give {kp: 100, kd: 2.5} and the like")
        for name in given:
            if name not in known:
                raise InputError(path, f"unknown key {name!r} in {where}", f"use one of {', '.join(sorted(known))}")
        result[pattern] = {name: _joint_value(path, f"{where}.{name}", name, v) for name, v in given.items()}
    return result


def _joint_value(path: Path, where: str, name: str, value: Any) -> Any:
    if name == "scale" and isinstance(value, str):
        if range_share(value) is None:
            raise InputError(path, f"{where} is {value!r}", "give a number of rad, or a rule such as 0.7 * range")
        return value
    if name == "offset" and value in ("default", "middle"):
        return value
    if name == "default" and isinstance(value, list):
        return tuple(_number(path, where, number) for number in value)
    number = _number(path, where, value)
    if number < 0 and name in ("kp", "kd", "effort", "armature"):
        raise InputError(path, f"{where} is {value!r}", "give a number that is not below 0")
    return number


_READERS: dict[str, Any] = {
    "name": _text,
    "height": _number,
    "root_heights": _heights,
    "feet": _names,
    "hands": _names,
    "key_bodies": _names,
    "evaluation": _names,
    "exclude": _pairs,
    "joint_map": _map,
    "joints": _joints,
}
