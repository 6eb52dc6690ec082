"""The 28-dof, 15-body humanoid of AMP and DeepMimic, generated from ``amp_humanoid_table.py``.

Joints of three axes are ball joints with three position actuators (their lengths are the exponential map, as the
engines that this humanoid comes from treat three hinges in one place), knees and elbows are hinges about y.
"""

from __future__ import annotations

import math
from typing import Literal

import mujoco
import torch

from poselib.skeleton import Skeleton
from puffer_phc.robots.amp_humanoid_table import HUMANOID_BODIES, Gains, HumanoidRow
from puffer_phc.robots.robot import PhysicsOptions, Robot
from puffer_phc.robots.scene import Shape, add_shape, capsule, floor_scene, softness

GainSet = Literal["isaac", "mimickit"]
ActionBounds = Literal["isaac", "mimickit"]
DAMPING_RATIO = 0.1  # kd / kp
HINGE_REACH = 0.7  # of a hinge's range, on either side of its middle
HEIGHT = 0.89  # m, of the root when standing
BODY_SETS = {
    "feet": ("right_foot", "left_foot"),
    "hands": ("right_hand", "left_hand"),
    "key": ("right_hand", "left_hand", "right_foot", "left_foot"),
    # Hands cannot move of themselves.
    "evaluation": tuple(row.name for row in HUMANOID_BODIES if row.joint or row.parent is None),
}
_ARMS_LEVEL = {"right_shoulder": -math.pi / 2, "left_shoulder": math.pi / 2}


def amp_humanoid_robot(
    physics: PhysicsOptions | None = None,
    kp_scale: float = 1.0,
    kd_scale: float = 1.0,
    self_collision: bool = True,
    gains: GainSet = "isaac",
    action_bounds: ActionBounds = "isaac",
) -> Robot:
    """Build the humanoid.

    Args:
        physics: time stepping; None for the defaults.
        kp_scale: multiplies every stiffness.
        kd_scale: multiplies every damping.
        self_collision: whether body parts collide with each other.
        gains: ``isaac`` are those of Isaac Gym's AMP; ``mimickit`` are MimicKit's, stiffer and with torque limits.
        action_bounds: PD targets that an action of -1 to 1 spans in ``absolute`` mode: ``isaac`` is half a turn each
            way for ball joints; ``mimickit`` is 1.2 times the largest limit of their axes. Hinges are alike in both.
    """
    physics = physics or PhysicsOptions()
    spec = floor_scene("amp_humanoid", physics)
    spec.compiler.degree = False
    chosen = {row.name: getattr(row, gains) for row in HUMANOID_BODIES}
    _add_bodies(spec, chosen, kd_scale, self_collision)
    _add_actuators(spec, chosen, kp_scale, kd_scale)
    names = tuple(row.name for row in HUMANOID_BODIES)
    parents = tuple(-1 if row.parent is None else names.index(row.parent) for row in HUMANOID_BODIES)
    offsets = torch.tensor([row.pos for row in HUMANOID_BODIES], dtype=torch.float64)
    kp = _per_dof({row.name: chosen[row.name].kp * kp_scale for row in HUMANOID_BODIES})
    offset, scale = _action_map(action_bounds)
    return Robot(
        name="amp_humanoid",
        model=spec.compile(),
        spec=spec,
        skeleton=Skeleton(names, parents, offsets),
        kp=kp,
        kd=kp * DAMPING_RATIO * kd_scale / kp_scale,
        action_scale=scale,
        action_offset=offset,
        frozen_dofs=torch.zeros(len(kp), dtype=torch.bool),
        body_sets=BODY_SETS,
        torque_limit=_per_dof({row.name: chosen[row.name].torque for row in HUMANOID_BODIES}),
        default_dof=torch.tensor([_ARMS_LEVEL.get(row.joint, 0.0) * (k == 0) for row, k in _dofs()]),
        default_height=HEIGHT,
    )


def _dofs() -> list[tuple[HumanoidRow, int]]:
    """Body and axis of every dof."""
    return [(row, k) for row in HUMANOID_BODIES for k in range(len(row.limits))]


def _per_dof(values: dict[str, float]) -> torch.Tensor:
    return torch.tensor([values[row.name] for row, _ in _dofs()])


def _action_map(bounds: ActionBounds) -> tuple[torch.Tensor, torch.Tensor]:
    """Offset and scale (28,) rad."""
    offset, scale = [], []
    for row, k in _dofs():
        low, high = row.limits[k]
        if len(row.limits) == 1:
            offset.append(0.5 * (low + high))
            scale.append(HINGE_REACH * (high - low))
        else:
            offset.append(0.0)
            scale.append(180.0 if bounds == "isaac" else row.bound)
    return torch.deg2rad(torch.tensor(offset)), torch.deg2rad(torch.tensor(scale))


def _add_bodies(spec: mujoco.MjSpec, gains: dict[str, Gains], kd_scale: float, self_collision: bool) -> None:
    timestep = spec.option.timestep
    bodies: dict[str, mujoco.MjsBody] = {}
    for row in HUMANOID_BODIES:
        if row.parent is None:
            body = spec.worldbody.add_body(name=row.name, pos=(0, 0, HEIGHT))
            body.add_freejoint(name="root")
        else:
            body = bodies[row.parent].add_body(name=row.name, pos=row.pos)
        bodies[row.name] = body
        if row.joint:
            _add_joint(body, row, gains[row.name], kd_scale, timestep)
        add_shape(body, row.name, {**_shape(row), "mass": row.mass}, self_collision, timestep)


def _add_joint(body: mujoco.MjsBody, row: HumanoidRow, gains: Gains, kd_scale: float, timestep: float) -> None:
    limited = math.isfinite(gains.torque)
    joint = body.add_joint(name=row.joint, armature=gains.armature)
    # What the actuator must overcome to keep to its limit has to be a force of its own: ``simulation/servos.py``.
    joint.damping = [gains.kp * DAMPING_RATIO * kd_scale if limited else 0.0, 0.0, 0.0]
    if len(row.limits) == 3:
        joint.type = mujoco.mjtJoint.mjJNT_BALL
        return
    joint.type, joint.axis = mujoco.mjtJoint.mjJNT_HINGE, (0, 1, 0)
    joint.range = [math.radians(degrees) for degrees in row.limits[0]]
    joint.limited = mujoco.mjtLimited.mjLIMITED_TRUE
    joint.solref_limit = softness(timestep)["solref"]


def _shape(row: HumanoidRow) -> Shape:
    if row.shape == "capsule":
        return capsule(row.at, row.size[0])
    if row.shape == "sphere":
        return {"type": mujoco.mjtGeom.mjGEOM_SPHERE, "pos": row.at, "size": (*row.size, 0, 0)}
    return {"type": mujoco.mjtGeom.mjGEOM_BOX, "pos": row.at, "size": row.size}


def _add_actuators(spec: mujoco.MjSpec, gains: dict[str, Gains], kp_scale: float, kd_scale: float) -> None:
    """Position servos in dof order; force = kp (ctrl - length) - kd velocity. Limits: ``simulation/servos.py``."""
    for row, axis in _dofs():
        kp, limit = gains[row.name].kp, gains[row.name].torque
        name = row.joint if len(row.limits) == 1 else f"{row.joint}_{'xyz'[axis]}"
        actuator = spec.add_actuator(name=name, target=row.joint)
        actuator.trntype = mujoco.mjtTrn.mjTRN_JOINT
        actuator.gear[:3] = [float(axis == i) for i in range(3)]
        damping = 0.0 if math.isfinite(limit) else kp * DAMPING_RATIO * kd_scale
        actuator.set_to_position(kp=kp * kp_scale, kv=damping)
