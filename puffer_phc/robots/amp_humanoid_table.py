"""The 15-body, 28-dof humanoid of Isaac Gym's AMP and of MimicKit as numbers: tree, joints, ranges and gains.

Offsets, joint order, ranges and gains are the published figures of that model; shapes and masses are our own. It
stands with its arms hanging: at zero joint angles all bodies are upright, x forward, y left, z up.
"""

from __future__ import annotations

from typing import NamedTuple

Vec3 = tuple[float, float, float]


class Gains(NamedTuple):
    """Of one joint: stiffness N m / rad (damping is a tenth of it), armature kg m2, torque limit N m."""

    kp: float
    armature: float
    torque: float


class HumanoidRow(NamedTuple):
    """One body and the joint it hangs on.

    Attributes:
        name: of the body.
        parent: its name; None for the root.
        pos: m, in the parent.
        shape: ``sphere``, ``capsule`` or ``box``.
        at: m, the shape's centre, or the two ends of a capsule.
        size: m, the radius, or half the sides of a box.
        mass: kg.
        joint: name of the joint; empty for the root and for what is welded on.
        limits: degrees, lowest and highest angle about each axis; of one axis, y.
        bound: degrees of MimicKit's joint target at action 1, for joints of three axes.
        isaac, mimickit: published gains.
    """

    name: str
    parent: str | None
    pos: Vec3
    shape: str
    at: tuple[float, ...]
    size: tuple[float, ...]
    mass: float
    joint: str = ""
    limits: tuple[tuple[float, float], ...] = ()
    bound: float = 0.0
    isaac: Gains = Gains(0.0, 0.0, 0.0)
    mimickit: Gains = Gains(0.0, 0.0, 0.0)


# fmt: off
_INF = float("inf")
_KNEE, _ELBOW = ((0.0, 160.0),), ((-160.0, 0.0),)
_ANKLE = ((-30.0, 30.0), (-55.0, 55.0), (-40.0, 40.0))


def _arm(side: str, sign: float) -> tuple[HumanoidRow, ...]:
    across = (-180.0, 45.0) if sign < 0 else (-45.0, 180.0)
    return (
        HumanoidRow(
            f"{side}_upper_arm", "torso", (-0.02405, sign * 0.18311, 0.2435),
            "capsule", (0.0, 0.0, -0.05, 0.0, 0.0, -0.23), (0.045,), 1.6,
            f"{side}_shoulder", (across, (-180.0, 60.0), (-90.0, 90.0)), 192.0,
            Gains(200.0, 0.02, _INF), Gains(400.0, 0.02, 100.0),
        ),
        HumanoidRow(
            f"{side}_lower_arm", f"{side}_upper_arm", (0.0, 0.0, -0.274788),
            "capsule", (0.0, 0.0, -0.05, 0.0, 0.0, -0.19), (0.04,), 1.2,
            f"{side}_elbow", _ELBOW, 0.0,
            Gains(150.0, 0.015, _INF), Gains(300.0, 0.01, 70.0),
        ),
        HumanoidRow(
            f"{side}_hand", f"{side}_lower_arm", (0.0, 0.0, -0.258947), "sphere", (0.0, 0.0, 0.0), (0.04,), 0.5
        ),
    )


def _leg(side: str, sign: float) -> tuple[HumanoidRow, ...]:
    across, turn = ((-60.0, 15.0), (-60.0, 35.0)) if sign < 0 else ((-15.0, 60.0), (-35.0, 60.0))
    return (
        HumanoidRow(
            f"{side}_thigh", "pelvis", (0.0, sign * 0.084887, 0.0),
            "capsule", (0.0, 0.0, -0.06, 0.0, 0.0, -0.36), (0.055,), 4.8,
            f"{side}_hip", (across, (-140.0, 60.0), turn), 168.0,
            Gains(300.0, 0.02, _INF), Gains(500.0, 0.02, 200.0),
        ),
        HumanoidRow(
            f"{side}_shin", f"{side}_thigh", (0.0, 0.0, -0.421546),
            "capsule", (0.0, 0.0, -0.05, 0.0, 0.0, -0.36), (0.048,), 3.0,
            f"{side}_knee", _KNEE, 0.0,
            Gains(300.0, 0.02, _INF), Gains(500.0, 0.02, 150.0),
        ),
        # The sole lies 58.5 mm below the ankle, so that it touches the floor with the root at 0.89 m.
        HumanoidRow(
            f"{side}_foot", f"{side}_shin", (0.0, 0.0, -0.40987),
            "box", (0.045, 0.0, -0.0285), (0.0885, 0.045, 0.03), 1.1,
            f"{side}_ankle", _ANKLE, 66.0,
            Gains(200.0, 0.01, _INF), Gains(400.0, 0.01, 90.0),
        ),
    )


HUMANOID_BODIES: tuple[HumanoidRow, ...] = (
    HumanoidRow("pelvis", None, (0.0, 0.0, 0.0), "capsule", (0.0, -0.05, 0.04, 0.0, 0.05, 0.04), (0.1,), 6.0),
    HumanoidRow(
        "torso", "pelvis", (0.0, 0.0, 0.236151),
        "capsule", (0.0, -0.04, 0.13, 0.0, 0.04, 0.13), (0.115,), 14.0,
        "abdomen", ((-60.0, 60.0), (-60.0, 90.0), (-50.0, 50.0)), 108.0,
        Gains(600.0, 0.025, _INF), Gains(1000.0, 0.02, 200.0),
    ),
    HumanoidRow(
        "head", "torso", (0.0, 0.0, 0.223894),
        "sphere", (0.0, 0.0, 0.175), (0.095,), 2.4,
        "neck", ((-50.0, 50.0), (-40.0, 60.0), (-45.0, 45.0)), 72.0,
        Gains(50.0, 0.017, _INF), Gains(100.0, 0.01, 50.0),
    ),
    *_arm("right", -1.0),
    *_arm("left", 1.0),
    *_leg("right", -1.0),
    *_leg("left", 1.0),
)
# fmt: on
