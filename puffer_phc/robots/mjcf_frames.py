"""Moves body frames of an MJCF to their joints, where joints are not at the origin of their bodies.

Poses and velocities are then products of rotations at body origins. The robot moves as before: only the point that
stands for a body is another one.
"""

from __future__ import annotations

import mujoco
import numpy as np

_TOLERANCE = 1e-7  # m
_NOWHERE = 1e-9  # m


def move_frames_to_joints(spec: mujoco.MjSpec) -> None:
    """Shift every body whose joints stand elsewhere, its contents the other way.

    Raises:
        ValueError: a body's joints stand in different places, or the result would not move as the original.
    """
    away = [body for body in spec.bodies[2:] if _place(body) is not None]
    if not away:
        return
    before = _places(spec)
    model = spec.copy().compile()
    for body in away:
        _move(body, np.array(model.body(body.name).quat))  # the editor has not worked out Euler angles and the like
    if np.abs(_places(spec) - before).max() > _TOLERANCE:
        names = ", ".join(body.name for body in away[:5])
        raise ValueError(f"the joints of {names} are not at their bodies' origins, and these cannot be moved there")


def _place(body: mujoco.MjsBody) -> np.ndarray | None:
    """Where in the body (3,) m its joints stand; None at its origin."""
    places = np.array([joint.pos for joint in body.joints]).reshape(-1, 3)
    if not len(places) or np.abs(places).max() < _NOWHERE:
        return None
    if np.abs(places - places[0]).max() > _NOWHERE:
        raise ValueError(f"the joints of body {body.name!r} do not stand in one place")
    return places[0]


def _move(body: mujoco.MjsBody, quat: np.ndarray) -> None:
    shift, turned = _place(body), np.zeros(3)
    assert shift is not None
    mujoco.mju_rotVecQuat(turned, shift, quat)
    body.pos = np.array(body.pos) + turned
    for joint in body.joints:
        joint.pos = np.zeros(3)
    for item in (*body.geoms, *body.sites, *body.cameras, *body.lights, *body.bodies):
        ends = getattr(item, "fromto", None)
        if ends is not None and np.isfinite(ends).all():
            item.fromto = np.array(ends) - np.tile(shift, 2)
        else:
            item.pos = np.array(item.pos) - shift
    body.ipos = np.array(body.ipos) - shift


def _places(spec: mujoco.MjSpec) -> np.ndarray:
    """Centres of mass and of shapes in a pose that bends every joint."""
    model = spec.copy().compile()
    data = mujoco.MjData(model)
    data.qvel[:] = 0.3 + 0.1 * np.sin(np.arange(model.nv))
    mujoco.mj_integratePos(model, data.qpos, data.qvel, 1.0)
    mujoco.mj_kinematics(model, data)
    return np.concatenate((data.xipos, data.geom_xpos))
