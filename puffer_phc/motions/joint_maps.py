"""Which body of a source skeleton drives which body of a robot, and how their rest poses differ.

Both skeletons are read as the same anatomy (:func:`anatomy`): a root, a chain of spine joints, a neck and a head, two
arms and two legs. Only knees, elbows and the head are found by name; the tree gives the rest, so many naming schemes
and any number of spine joints need no tables. A user's joint map overrides what was found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from poselib.skeleton import Skeleton
from puffer_phc.errors import InputError
from puffer_phc.motions.formats.text import read_bytes

Side = Literal["L", "R"]
SIDES: tuple[Side, Side] = ("L", "R")

_KNEE = r"(leg|lowerleg|lowleg|knee|tibia|shin|calf|shank)(joint|link|\d*)"
_ELBOW = r"(forearm|elbow|radius|lowerarm|lowarm|lradius)(joint|link|\d*)"
_HEAD = r"head(\d*)|head(link\w*)|skull"
_TURN = re.compile(r"pitch|roll|yaw")  # robots: one of several bodies that are one joint of a human
_SIDE_NAMES = {"L": ("left", "l"), "R": ("right", "r")}
_MAX_BYTES = 1 << 16
_ONE_ANKLE = 0.03  # m: bodies this near below the shin are parts of one ankle


@dataclass(frozen=True)
class Anatomy:
    """Body indices of one skeleton; limbs by side.

    Attributes:
        spine: from the first joint above the pelvis to the one that carries the arms; may be empty.
        neck: from the first joint above the chest to the head; may be empty.
        collar, thigh, shin, foot, toe, upper_arm, forearm, hand: single bodies where the skeleton has them.
        above: of thighs, upper arms and feet that are the last of several bodies in one joint: the ones before.
    """

    spine: tuple[int, ...] = ()
    neck: tuple[int, ...] = ()
    thigh: Mapping[Side, int] = field(default_factory=dict)
    shin: Mapping[Side, int] = field(default_factory=dict)
    foot: Mapping[Side, int] = field(default_factory=dict)
    toe: Mapping[Side, int] = field(default_factory=dict)
    collar: Mapping[Side, int] = field(default_factory=dict)
    upper_arm: Mapping[Side, int] = field(default_factory=dict)
    forearm: Mapping[Side, int] = field(default_factory=dict)
    hand: Mapping[Side, int] = field(default_factory=dict)
    above: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    def top(self, body: int) -> int:
        """The first body of the joint that ``body`` is the last of."""
        return (*self.above.get(body, ()), body)[0]


@dataclass(frozen=True)
class Driver:
    """What drives one body: the source body ``body``, or the rotation ``share`` of the way from ``base`` to it."""

    body: int
    base: int = 0
    share: float = 1.0


JointMap = dict[int, Driver]
"""Drivers by the robot's body index; bodies without one keep still relative to their parent."""


def anatomy(skeleton: Skeleton) -> Anatomy:
    """Find the limbs of a humanoid skeleton.

    Raises:
        ValueError: naming the part that cannot be found.
    """
    shin = {side: _named(skeleton, side, _KNEE, "knee") for side in SIDES}
    forearm = {side: _named(skeleton, side, _ELBOW, "elbow") for side in SIDES}
    parents = skeleton.parents
    chest = _common_ancestor(parents, forearm["L"], forearm["R"])
    head = next((i for i, name in enumerate(skeleton.names) if re.fullmatch(_HEAD, _plain(name))), None)
    thigh = {side: parents[shin[side]] for side in SIDES}
    upper_arm = {side: parents[forearm[side]] for side in SIDES}
    foot = {side: _ankle_end(skeleton, body) for side, body in _first_children(skeleton, shin).items()}
    above = {body: _joint_above(skeleton, body) for body in (*thigh.values(), *upper_arm.values())}
    above |= {body: _path(parents, shin[side], parents[body]) for side, body in foot.items()}
    collar = {side: parents[(*above[body], body)[0]] for side, body in upper_arm.items()}
    return Anatomy(
        spine=_path(parents, 0, chest),
        neck=_path(parents, chest, head) if head is not None else (),
        thigh=thigh,
        shin=shin,
        foot=foot,
        toe=_first_children(skeleton, foot),
        collar={side: body for side, body in collar.items() if body != chest},
        upper_arm=upper_arm,
        forearm=forearm,
        hand=_first_children(skeleton, forearm),
        above=above,
    )


def _joint_above(skeleton: Skeleton, body: int) -> tuple[int, ...]:
    """Bodies that turn a limb together with ``body``, from the first on: ``hip_pitch, hip_roll`` of ``hip_yaw``."""
    found: list[int] = []
    parent = skeleton.parents[body]
    while _TURN.search(_plain(skeleton.names[body])) and _TURN.search(_plain(skeleton.names[parent])):
        if re.match("waist|torso", _plain(skeleton.names[parent])):
            break
        found.insert(0, parent)
        parent = skeleton.parents[parent]
    return tuple(found)


def _ankle_end(skeleton: Skeleton, body: int) -> int:
    """The last of the bodies that stand in one ankle."""
    while True:
        children = [child for child, parent in enumerate(skeleton.parents) if parent == body]
        if len(children) != 1 or float(skeleton.offsets[children[0]].norm()) > _ONE_ANKLE:
            return body
        body = children[0]


def pair_up(source: Anatomy, target: Anatomy) -> JointMap:
    """Drivers of the target's bodies. Hands' own children and fingers are left alone.

    A spine of other length is driven by interpolation along the chain; a missing neck turns half with the head; a
    missing collar follows the chest.
    """
    drivers: JointMap = {0: Driver(0)}
    chain = (0, *source.spine)
    for index, body in enumerate(target.spine, start=1):
        place = index * len(source.spine) / len(target.spine)
        upper = min(int(place + 0.999999), len(source.spine))
        drivers[body] = Driver(chain[upper], chain[max(upper - 1, 0)], place - (upper - 1) if upper else 1.0)
    drivers |= _neck(source, target, chain[-1])
    for side in SIDES:
        if side in target.collar:
            drivers[target.collar[side]] = Driver(source.collar.get(side, chain[-1]))
        for part in ("thigh", "shin", "foot", "toe", "upper_arm", "forearm", "hand"):
            mine, theirs = getattr(target, part), getattr(source, part)
            if side in mine and side in theirs:
                for body in (*target.above.get(mine[side], ()), mine[side]):
                    drivers[body] = Driver(theirs[side])
    return drivers


def _neck(source: Anatomy, target: Anatomy, chest: int) -> JointMap:
    if not target.neck or not source.neck:
        return {}
    drivers = {body: Driver(source.neck[-1], chest, 0.5) for body in target.neck[:-1]}
    if len(source.neck) > 1:
        drivers = {body: Driver(source.neck[0]) for body in target.neck[:-1]}
    return {**drivers, target.neck[-1]: Driver(source.neck[-1])}


def joint_map(source: Skeleton, target: Skeleton, overrides: Mapping[str, str] | None = None) -> JointMap:
    """Drivers of the target's bodies: equal names, else by anatomy, then ``overrides`` (target name: source name).

    An override with an empty source name leaves the target's body still.

    Raises:
        ValueError: the skeletons' limbs cannot be told, or an override names an unknown body.
    """
    if set(target.names) <= set(source.names):
        drivers = {body: Driver(source.index(name)) for body, name in enumerate(target.names)}
    elif overrides and set(overrides) >= set(target.names):
        drivers = {}
    else:
        drivers = pair_up(anatomy(source), anatomy(target))
    for name, driver in (overrides or {}).items():
        body = target.index(name)
        drivers.pop(body, None)
        if driver:
            drivers[body] = Driver(source.index(driver))
    return drivers


def read_joint_map(path: Path) -> dict[str, str]:
    """A user's joint map: lines of ``robot body: source joint`` and comments, the simplest YAML there is.

    Raises:
        InputError: the file is missing, too large, or a line has another form.
    """
    data = read_bytes(path, _MAX_BYTES, "give a list of joints")
    pairs = {}
    for number, line in enumerate(data.decode("utf-8-sig", errors="replace").splitlines(), start=1):
        text = line.split(" #")[0].strip()
        if not text or text.startswith(("#", "---")):
            continue
        name, colon, joint = text.partition(":")
        if not colon or not name.strip():
            raise InputError(path, f"line {number} is not of the form body: joint", "write L_Knee: LeftLeg")
        pairs[name.strip().strip("'\"")] = joint.strip().strip("'\"")
    if not pairs:
        raise InputError(path, "it maps no joints", "write lines such as L_Knee: LeftLeg")
    return pairs


def _plain(name: str) -> str:
    """A joint's name without its model's prefix, separators and case."""
    return re.sub(r"[^a-z0-9]", "", re.split(r"[:|]", name)[-1].lower().removeprefix("mixamorig"))


def _named(skeleton: Skeleton, side: Side, pattern: str, what: str) -> int:
    """The body of one side whose name says what it is; the one nearest the root, for chains of twist bones."""
    prefixes = "|".join(_SIDE_NAMES[side])
    # "left" before "l", so that "leftleg" is no "l" + "eftleg"; sides may also stand at the end.
    forms = (rf"(?:bip\d*|)(?:{prefixes})(?:{pattern})", rf"(?:{pattern})(?:{prefixes})")
    for form in forms:
        for body, name in enumerate(skeleton.names):
            if re.fullmatch(form, _plain(name)):
                return body
    words = {"L": "left", "R": "right"}[side]
    raise ValueError(f"no {words} {what} among the joints {', '.join(skeleton.names[:12])}, ...")


def _first_children(skeleton: Skeleton, limbs: Mapping[Side, int]) -> dict[Side, int]:
    """The first child of each body; limbs that end there are left out."""
    children = {side: [b for b, p in enumerate(skeleton.parents) if p == body] for side, body in limbs.items()}
    return {side: bodies[0] for side, bodies in children.items() if bodies}


def _path(parents: tuple[int, ...], top: int, bottom: int) -> tuple[int, ...]:
    """Bodies below ``top`` down to ``bottom``."""
    bodies = []
    while bottom != top and bottom > 0:
        bodies.append(bottom)
        bottom = parents[bottom]
    return tuple(reversed(bodies))


def _common_ancestor(parents: tuple[int, ...], a: int, b: int) -> int:
    while a != b:
        a, b = (parents[a], b) if a > b else (a, parents[b])
    return a


def without(drivers: JointMap, bodies: tuple[int, ...]) -> JointMap:
    """``drivers`` without those of some bodies."""
    return {body: replace(driver) for body, driver in drivers.items() if body not in bodies}
