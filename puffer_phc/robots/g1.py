"""A stand-in for Unitree's G1 with 23 joints, as an MJCF text: its joints, with simple shapes of our own.

It is for tests and for trying things out: masses and sizes are plausible, not the maker's. ``configs/g1.yaml`` holds
gains, standing pose and named bodies of the real robot and fits both.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

Vec3 = tuple[float, float, float]
_AXES = {"roll": "1 0 0", "pitch": "0 1 0", "yaw": "0 0 1"}


class Link(NamedTuple):
    """A body and the hinge it hangs on.

    Attributes:
        name: of the body.
        parent: its name; empty for the root.
        pos: m, in the parent.
        mass: kg.
        shape: a geom's type and size in MJCF; empty for a body without one.
        axis: roll, pitch or yaw; empty for a welded body.
        limits: rad.
        joint: the hinge's name.
    """

    name: str
    parent: str
    pos: Vec3
    mass: float
    shape: str = ""
    axis: str = ""
    limits: tuple[float, float] = (0.0, 0.0)
    joint: str = ""


# fmt: off
def _leg(side: str, s: float) -> tuple[Link, ...]:
    def link(name: str, parent: str, pos: Vec3, mass: float, shape: str, axis: str, low: float, high: float) -> Link:
        limits = (-high, -low) if s < 0 and axis != "pitch" else (low, high)
        return Link(f"{side}_{name}_link", parent, pos, mass, shape, axis, limits, f"{side}_{name}_joint")

    return (
        link("hip_pitch", "pelvis", (0.0, s * 0.0645, -0.1027), 1.4, "", "pitch", -2.5307, 2.8798),
        link("hip_roll", f"{side}_hip_pitch_link", (0.0, s * 0.052, -0.0305), 1.5,
             'type="capsule" fromto="0.02 0 0 0.02 0 -0.1" size="0.06"', "roll", -0.5236, 2.9671),
        link("hip_yaw", f"{side}_hip_roll_link", (0.025, 0.0, -0.1241), 1.7,
             'type="capsule" fromto="-0.04 0 0 -0.07 0 -0.12" size="0.055"', "yaw", -2.7576, 2.7576),
        link("knee", f"{side}_hip_yaw_link", (-0.0783, s * 0.0021, -0.1773), 1.9,
             'type="capsule" fromto="0.01 0 -0.02 0.01 0 -0.25" size="0.045"', "pitch", -0.0873, 2.8798),
        link("ankle_pitch", f"{side}_knee_link", (0.0, 0.0, -0.3), 0.1, "", "pitch", -0.8727, 0.5236),
        link("ankle_roll", f"{side}_ankle_pitch_link", (0.0, 0.0, -0.0176), 0.6,
             'type="box" pos="0.035 0 -0.02" size="0.085 0.032 0.015"', "roll", -0.2618, 0.2618),
    )


def _arm(side: str, s: float) -> tuple[Link, ...]:
    def link(name: str, parent: str, pos: Vec3, mass: float, shape: str, axis: str, low: float, high: float) -> Link:
        limits = (-high, -low) if s < 0 and axis == "roll" else (low, high)
        return Link(f"{side}_{name}_link", parent, pos, mass, shape, axis, limits, f"{side}_{name}_joint")

    return (
        link("shoulder_pitch", "torso_link", (0.004, s * 0.1002, 0.2478), 0.7, "", "pitch", -3.0892, 2.6704),
        link("shoulder_roll", f"{side}_shoulder_pitch_link", (0.0, s * 0.045, -0.014), 0.7,
             'type="capsule" fromto="0 0 -0.02 0 0 -0.09" size="0.035"', "roll", -1.5882, 2.2515),
        link("shoulder_yaw", f"{side}_shoulder_roll_link", (0.0, s * 0.006, -0.1032), 0.7,
             'type="capsule" fromto="0 0 0 0 0 -0.06" size="0.033"', "yaw", -2.618, 2.618),
        link("elbow", f"{side}_shoulder_yaw_link", (0.0158, 0.0, -0.0805), 0.6,
             'type="capsule" fromto="0.02 0 -0.005 0.16 0 -0.005" size="0.03"', "pitch", -1.0472, 2.0944),
        Link(f"{side}_hand_link", f"{side}_elbow_link", (0.22, 0.0, -0.005), 0.3, 'type="sphere" size="0.035"'),
    )


LINKS: tuple[Link, ...] = (
    Link("pelvis", "", (0.0, 0.0, 0.793), 3.8, 'type="capsule" fromto="0 0 -0.1 0 0 -0.02" size="0.05"'),
    *_leg("left", 1.0),
    *_leg("right", -1.0),
    Link("waist_yaw_link", "pelvis", (0.0, 0.0, 0.0), 0.3, "", "yaw", (-2.618, 2.618), "waist_yaw_joint"),
    Link("waist_roll_link", "waist_yaw_link", (-0.004, 0.0, 0.044), 0.2, "", "roll", (-0.52, 0.52), "waist_roll_joint"),
    Link("torso_link", "waist_roll_link", (0.0, 0.0, 0.0), 7.8,
         'type="capsule" fromto="0 0 0.1 0 0 0.2" size="0.09"', "pitch", (-0.52, 0.52), "waist_pitch_joint"),
    Link("head_link_o", "torso_link", (0.0, 0.0, 0.43), 1.0, 'type="sphere" size="0.075"'),
    *_arm("left", 1.0),
    *_arm("right", -1.0),
)
# fmt: on


def g1_stand_in() -> str:
    """The MJCF of the stand-in: 23 hinges in the order legs, waist, arms, left before right."""
    lines = ['<mujoco model="g1_stand_in">', '  <compiler angle="radian"/>', "  <worldbody>"]
    lines += _body(LINKS[0], "    ")
    return "\n".join([*lines, "  </worldbody>", "</mujoco>", ""])


def write_g1_stand_in(path: Path) -> None:
    """Write :func:`g1_stand_in` to ``path``."""
    path.write_text(g1_stand_in(), encoding="utf-8")


def _body(link: Link, indent: str) -> list[str]:
    lines = [f'{indent}<body name="{link.name}" pos="{" ".join(map(str, link.pos))}">']
    inner = f"{indent}  "
    if not link.parent:
        lines.append(f'{inner}<freejoint name="root"/>')
    if link.axis:
        low, high = link.limits
        lines.append(f'{inner}<joint name="{link.joint}" axis="{_AXES[link.axis]}" range="{low} {high}"/>')
    if link.shape:
        lines.append(f'{inner}<geom {link.shape} mass="{link.mass}"/>')
    else:
        lines.append(f'{inner}<inertial pos="0 0 0" mass="{link.mass}" diaginertia="0.002 0.002 0.002"/>')
    for child in (child for child in LINKS if child.parent == link.name):
        lines += _body(child, inner)
    return [*lines, f"{indent}</body>"]
