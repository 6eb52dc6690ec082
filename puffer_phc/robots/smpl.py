"""The 24-body, 69-dof SMPL humanoid, generated from ``smpl_table.py`` with MuJoCo's model editor.

Each of the 23 joints is a ball joint driven by three position actuators of unit gear: an actuator's length is then
exactly one component of the joint's exponential map, which is how Isaac Gym treats three co-located hinges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import mujoco
import torch

from poselib.skeleton import Skeleton
from puffer_phc.robots.robot import PhysicsOptions, Robot
from puffer_phc.robots.scene import Shape, add_shape, capsule, floor_scene
from puffer_phc.robots.smpl_table import BODY_NAMES, COLLISION_EXCLUDES, PARENTS, SMPL_BODIES, BodyRow, Vec3

ARMATURE = 0.02  # kg m2, as in PHC's asset
DAMPING_RATIO = 0.1  # kd / kp
# Limits in the asset are +-180 degrees (720 at shoulders and elbows), so PHC's rule min(1.2 max|limit|, pi) gives pi.
ACTION_SCALE = math.pi
KNEE_PITCH_SCALE = 5.0  # PHC's "stronger knee": the y axis of both knees
FROZEN_BODIES = ("L_Toe", "R_Toe", "L_Hand", "R_Hand")
BODY_SETS = {
    "feet": ("L_Ankle", "L_Toe", "R_Ankle", "R_Toe"),
    "hands": ("L_Hand", "R_Hand"),
    "key": ("R_Ankle", "L_Ankle", "R_Wrist", "L_Wrist"),  # whose positions PHC's discriminator sees
    # PHC's evaluation leaves hands and toes out of the failure test.
    "evaluation": tuple(name for name in BODY_NAMES if name not in FROZEN_BODIES),
}
Feet = Literal["boxes", "capsules"]


def smpl_robot(
    physics: PhysicsOptions | None = None,
    kp_scale: float = 1.0,
    kd_scale: float = 1.0,
    self_collision: bool = True,
    feet: Feet = "boxes",
    offsets: Sequence[Vec3] | None = None,
) -> Robot:
    """Build the humanoid.

    Args:
        physics: time stepping; None for the defaults.
        kp_scale: multiplies every stiffness.
        kd_scale: multiplies every damping.
        self_collision: whether body parts collide with each other.
        feet: ``boxes`` is PHC's; ``capsules`` puts two along the sides of each box, of the same mass.
        offsets: joint offsets (24 x 3, m, MJCF order, upright frame) of another body shape; None for the mean body.
            Shapes are stretched along with their limb.
    """
    physics = physics or PhysicsOptions()
    rows = _reshaped(offsets) if offsets is not None else SMPL_BODIES
    spec = floor_scene("smpl", physics)
    _add_bodies(spec, rows, self_collision, feet)
    _add_actuators(spec, rows, kp_scale, kd_scale)
    model = spec.compile()
    skeleton_offsets = torch.tensor([(0.0, 0.0, 0.0), *(row.pos for row in rows[1:])], dtype=torch.float64)
    kp = torch.tensor([row.kp * kp_scale for row in rows[1:] for _ in "xyz"])
    return Robot(
        name="smpl",
        model=model,
        skeleton=Skeleton(BODY_NAMES, PARENTS, skeleton_offsets),
        kp=kp,
        kd=kp * DAMPING_RATIO * kd_scale / kp_scale,
        action_scale=_action_scale(),
        frozen_dofs=torch.tensor([row.name in FROZEN_BODIES for row in rows[1:] for _ in "xyz"]),
        body_sets=BODY_SETS,
        spec=spec,
    )


def _action_scale() -> torch.Tensor:
    scale = torch.full((len(BODY_NAMES) - 1, 3), ACTION_SCALE)
    for knee in ("L_Knee", "R_Knee"):
        scale[BODY_NAMES.index(knee) - 1, 1] = KNEE_PITCH_SCALE
    return scale.flatten()


def _reshaped(offsets: Sequence[Vec3]) -> tuple[BodyRow, ...]:
    """The table with other joint offsets: shapes grow with the mean length of the offsets at their body's ends."""
    if len(offsets) != len(SMPL_BODIES):
        raise ValueError(f"expected {len(SMPL_BODIES)} joint offsets, got {len(offsets)}")

    def limb_scale(body: int) -> float:
        children = [child for child, parent in enumerate(PARENTS) if parent == body] or [body]
        ratios = [math.dist(offsets[c], (0, 0, 0)) / math.dist(SMPL_BODIES[c].pos, (0, 0, 0)) for c in children]
        return sum(ratios) / len(ratios)

    rows = []
    for body, row in enumerate(SMPL_BODIES):
        scale = limb_scale(body)
        rows.append(
            row._replace(
                pos=offsets[body],
                geom_pos=tuple(scale * x for x in row.geom_pos),
                size=tuple(scale * x for x in row.size),
            )
        )
    return tuple(rows)


def _add_bodies(spec: mujoco.MjSpec, rows: tuple[BodyRow, ...], self_collision: bool, feet: Feet) -> None:
    bodies: dict[str, mujoco.MjsBody] = {}
    for row in rows:
        if row.parent is None:
            body = spec.worldbody.add_body(name=row.name, pos=(0, 0, 0.95))
            body.add_freejoint(name="root")
        else:
            body = bodies[row.parent].add_body(name=row.name, pos=row.pos)
            body.add_joint(name=row.name, type=mujoco.mjtJoint.mjJNT_BALL, armature=ARMATURE)
        bodies[row.name] = body
        for name, shape in _shapes(row, feet).items():
            add_shape(body, name, {"density": row.density, **shape}, self_collision, spec.option.timestep)
    for first, second in COLLISION_EXCLUDES:
        spec.add_exclude(bodyname1=first, bodyname2=second)


def _shapes(row: BodyRow, feet: Feet) -> dict[str, Shape]:
    """Collision shapes of a body by name."""
    if row.shape == "capsule":
        return {row.name: capsule(row.geom_pos, row.size[0])}
    if row.shape == "sphere":
        return {row.name: {"type": mujoco.mjtGeom.mjGEOM_SPHERE, "pos": row.geom_pos, "size": (*row.size, 0, 0)}}
    if feet == "boxes":
        return {row.name: {"type": mujoco.mjtGeom.mjGEOM_BOX, "pos": row.geom_pos, "size": row.size}}
    (x, y, z), (length, width, height) = row.geom_pos, row.size
    radius = min(width / 2, height)
    low, reach, side = z - height + radius, length - radius, width - radius  # on the box's sole, within its outline
    volume = 2 * math.pi * radius**2 * (2 * reach + 4 / 3 * radius)
    density = row.density * 8 * length * width * height / volume
    return {
        name: {**capsule((x - reach, y + offset, low, x + reach, y + offset, low), radius), "density": density}
        for name, offset in ((row.name, side), (f"{row.name}_2", -side))
    }


def _add_actuators(spec: mujoco.MjSpec, rows: tuple[BodyRow, ...], kp_scale: float, kd_scale: float) -> None:
    """Position servos: force = kp (ctrl - length) - kd velocity, integrated implicitly by the engine."""
    for row in rows[1:]:
        kp, kd = row.kp * kp_scale, row.kp * DAMPING_RATIO * kd_scale
        for axis, name in enumerate("xyz"):
            actuator = spec.add_actuator(name=f"{row.name}_{name}", target=row.name)
            actuator.trntype = mujoco.mjtTrn.mjTRN_JOINT
            actuator.gear[:3] = [float(axis == i) for i in range(3)]
            actuator.set_to_position(kp=kp, kv=kd)
