"""Any humanoid in an MJCF file, with what a settings file adds to it.

The file's bodies, joints, shapes and masses are kept; motors, sensors and passive joint springs are taken out and a
position servo drives every joint, as with the robots that this program generates.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import mujoco
import torch

from poselib.skeleton import Skeleton
from puffer_phc.errors import InputError
from puffer_phc.robots.joints import joint_rows
from puffer_phc.robots.mjcf_frames import move_frames_to_joints
from puffer_phc.robots.robot import FLOOR, PhysicsOptions, Robot
from puffer_phc.robots.scene import add_floor, apply_physics, softness
from puffer_phc.robots.settings import JointSettings, RobotSettings, range_share, read_settings

_MAX_BYTES = 16 << 20
_MAX_BODIES = 256
_REMEDY = "give the MJCF of one humanoid on a free joint"
_KINDS = mujoco.mjtJoint


def mjcf_robot(
    path: str | Path,
    settings: str | Path | RobotSettings | None = None,
    physics: PhysicsOptions | None = None,
    kp_scale: float = 1.0,
    kd_scale: float = 1.0,
    self_collision: bool = True,
) -> Robot:
    """Build the robot of an MJCF file.

    Args:
        path: the MJCF.
        settings: a YAML file or its content; None for what the MJCF says alone.
        physics: time stepping; None for the defaults. The file's own time step and solver are replaced.
        kp_scale: multiplies every stiffness.
        kd_scale: multiplies every damping.
        self_collision: False lets bodies touch the floor alone.

    Raises:
        InputError: the MJCF or the settings are missing, broken, do not fit together or hold what is not supported.
    """
    path = Path(path)
    given = (
        settings if isinstance(settings, RobotSettings) else read_settings(settings) if settings else RobotSettings()
    )
    subject = settings if isinstance(settings, str | Path) else path
    spec = _read(path)
    root = _root(path, spec)
    names = _named_bodies(spec)
    _check_names(subject, spec, given, names)
    try:
        move_frames_to_joints(spec)
    except ValueError as error:
        raise InputError(path, str(error), "move the body's origin to its joint") from None
    joints = {joint.name: given.of_joint(joint.name) for joint in spec.joints if joint.type != _KINDS.mjJNT_FREE}
    _strip(spec)
    apply_physics(spec, physics or PhysicsOptions())
    _settle_floor(spec, self_collision)
    gains = _servos(path, spec, joints, kp_scale, kd_scale)
    for first, second in given.exclude:
        spec.add_exclude(bodyname1=first, bodyname2=second)
    height = float(root.pos[2]) if given.height is None else given.height
    root.pos, root.quat = (0.0, 0.0, height), (1.0, 0.0, 0.0, 0.0)
    model = _compiled(path, spec)
    return _robot(path, spec, model, given, joints, gains, height)


def _read(path: Path) -> mujoco.MjSpec:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(path, f"is larger than {_MAX_BYTES >> 20} MB", _REMEDY)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check the path") from None
    try:
        spec = mujoco.MjSpec.from_file(str(path))
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(path, f"is no MJCF ({_line(error)})", _REMEDY) from None
    spec.compiler.fusestatic = False  # it would melt welded bodies into their parents
    _compiled(path, spec.copy())
    return spec


def _compiled(path: Path, spec: mujoco.MjSpec) -> mujoco.MjModel:
    try:
        return spec.compile()
    except ValueError as error:
        raise InputError(
            path, f"does not compile ({_line(error)})", "open it in MuJoCo's viewer to repair it"
        ) from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _root(path: Path, spec: mujoco.MjSpec) -> mujoco.MjsBody:
    """The only body on the world, which must be free; and nothing in the model that is not supported."""
    roots = spec.worldbody.bodies
    if len(roots) != 1:
        raise InputError(path, f"{len(roots)} bodies hang on the world instead of one", _REMEDY)
    if [joint.type for joint in roots[0].joints] != [_KINDS.mjJNT_FREE]:
        raise InputError(path, f"its root {roots[0].name!r} has no free joint", 'add <freejoint name="root"/> to it')
    if len(spec.bodies) > _MAX_BODIES:
        raise InputError(path, f"has {len(spec.bodies) - 1} bodies", f"{_MAX_BODIES - 1} are the most")
    for joint in spec.joints:
        if joint.type == _KINDS.mjJNT_SLIDE:
            raise InputError(path, f"joint {joint.name!r} slides", "only hinges, ball joints and welds are supported")
    for what, found in (("equality constraints", spec.equalities), ("flexible parts", spec.flexes)):
        if found:
            raise InputError(path, f"has {what}", "take them out")
    return roots[0]


def _named_bodies(spec: mujoco.MjSpec) -> list[str]:
    """Names of all bodies but the world; those without one get one, as do joints."""
    for number, body in enumerate(spec.bodies):
        body.name = body.name or f"body_{number}"
        for place, joint in enumerate(body.joints):
            joint.name = joint.name or f"{body.name}_joint" + (f"_{place}" if place else "")
    return [body.name for body in spec.bodies[1:]]


def _check_names(subject: str | Path, spec: mujoco.MjSpec, given: RobotSettings, names: list[str]) -> None:
    """Refuses settings of bodies and joints that there are not."""
    groups = {name: getattr(given, name) for name in ("feet", "hands", "key_bodies", "evaluation")}
    groups |= {"exclude": [name for pair in given.exclude for name in pair], "joint_map": list(given.joint_map)}
    for group, bodies in groups.items():
        for body in bodies:
            if body not in names:
                fault = f"{group} names body {body!r}, which the MJCF does not have"
                raise InputError(subject, fault, f"it has {', '.join(names[:40])}")
    joints = [joint.name for joint in spec.joints if joint.type != _KINDS.mjJNT_FREE]
    for pattern in given.joints:
        if not any(re.fullmatch(pattern, joint) for joint in joints):
            fault = f"joints.{pattern} matches no joint of the MJCF"
            raise InputError(subject, fault, f"it has {', '.join(joints[:40])}")


def _strip(spec: mujoco.MjSpec) -> None:
    """Takes out what would drive or watch the joints besides our servos, and poses made for other servos."""
    for item in (*spec.sensors, *spec.actuators, *spec.keys):
        spec.delete(item)


def _settle_floor(spec: mujoco.MjSpec, self_collision: bool) -> None:
    """One plane, called as the rest of the program expects; bodies that may touch it, and perhaps each other."""
    planes = [geom for geom in spec.worldbody.geoms if geom.type == mujoco.mjtGeom.mjGEOM_PLANE]
    if not planes:
        add_floor(spec)
    else:
        planes[0].name = FLOOR
    for body in spec.bodies[1:]:
        for geom in body.geoms:
            if not self_collision and (geom.contype or geom.conaffinity):
                geom.contype, geom.conaffinity = 1, 0


def _servos(
    path: Path, spec: mujoco.MjSpec, joints: dict[str, JointSettings], kp_scale: float, kd_scale: float
) -> dict[str, tuple[float, float, float]]:
    """A position servo for every dof in joint order; returns kp, kd and torque limit by joint.

    Where a motor is limited the joint has the damping, and ``simulation/servos.py`` keeps the limit.
    """
    gains = {}
    for joint in (joint for body in spec.bodies for joint in body.joints if joint.type != _KINDS.mjJNT_FREE):
        own = joints[joint.name]
        kp = (float(joint.stiffness[0]) if own.kp is None else own.kp) * kp_scale
        kd = (float(joint.damping[0]) if own.kd is None else own.kd) * kd_scale
        if kp <= 0:
            raise InputError(
                path, f"joint {joint.name!r} has no stiffness", "give kp and kd for it in --robot.settings"
            )
        limited = joint.actfrclimited != mujoco.mjtLimited.mjLIMITED_FALSE and joint.actfrcrange[1] > 0
        effort = float(joint.actfrcrange[1]) if limited else math.inf
        effort = effort if own.effort is None else own.effort
        clamped = math.isfinite(effort)
        joint.stiffness, joint.damping = [0.0] * 3, [kd if clamped else 0.0, 0.0, 0.0]
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_FALSE
        joint.solref_limit = softness(spec.option.timestep)["solref"]
        if own.armature is not None:
            joint.armature = own.armature
        axes = "xyz" if joint.type == _KINDS.mjJNT_BALL else " "
        for index, axis in enumerate(axes):
            actuator = spec.add_actuator(name=f"{joint.name}_{axis}".rstrip("_ "), target=joint.name)
            actuator.trntype = mujoco.mjtTrn.mjTRN_JOINT
            actuator.gear[:3] = [float(index == i) for i in range(3)]
            actuator.set_to_position(kp=kp, kv=0.0 if clamped else kd)
        gains[joint.name] = (kp, kd, effort)
    return gains


def _robot(
    path: Path,
    spec: mujoco.MjSpec,
    model: mujoco.MjModel,
    given: RobotSettings,
    joints: dict[str, JointSettings],
    gains: dict[str, tuple[float, float, float]],
    height: float,
) -> Robot:
    try:
        joint_rows(model)
    except ValueError as error:
        raise InputError(path, str(error), "only ball joints and hinges at right angles are supported") from None
    names = tuple(model.body(body).name for body in range(1, model.nbody))
    parents = (-1, *(int(parent) - 1 for parent in model.body_parentid[2:]))
    offsets = torch.from_numpy(model.body_pos[1:].copy())
    offsets[0] = 0.0
    dofs = [dof for joint in range(1, model.njnt) for dof in _joint_dofs(path, model, joint, joints)]
    kp, kd, torque = (torch.tensor([gains[name][i] for name, *_ in dofs]) for i in range(3))
    default, scale, offset = (torch.tensor([row[i] for row in dofs]) for i in (1, 2, 3))
    sets = {"feet": given.feet, "hands": given.hands, "key": given.key_bodies, "evaluation": given.evaluation or names}
    robot = Robot(
        name=given.name or path.stem,
        model=model,
        skeleton=Skeleton(names, parents, offsets),
        kp=kp,
        kd=kd,
        action_scale=scale,
        action_offset=offset,
        frozen_dofs=torch.zeros(len(dofs), dtype=torch.bool),
        body_sets=sets,
        torque_limit=torque,
        default_dof=default,
        default_height=height,
        root_heights=given.root_heights,
        joint_map=dict(given.joint_map),
        spec=spec,
    )
    if not len(robot.geoms.body):
        raise InputError(path, "no body has a collision shape", "give its geoms contype or conaffinity")
    return robot


def _joint_dofs(
    path: Path, model: mujoco.MjModel, joint: int, joints: dict[str, JointSettings]
) -> list[tuple[str, float, float, float]]:
    """Name of the joint, default angle, action scale and action offset of each of a joint's dofs."""
    name = model.joint(joint).name
    own = joints[name]
    count = 3 if model.jnt_type[joint] == _KINDS.mjJNT_BALL else 1
    default = own.default if isinstance(own.default, tuple) else (own.default,) * count
    if len(default) != count:
        raise InputError(
            path, f"joint {name!r} has {count} dofs but its default {len(default)} numbers", "give as many"
        )
    if count == 3 and not isinstance(own.default, tuple) and own.default != 0:
        raise InputError(path, f"the default of ball joint {name!r} is a single number", "give three")
    low, high = (float(x) for x in model.jnt_range[joint])
    limited = bool(model.jnt_limited[joint])
    if count == 3:
        low = -high  # of a ball joint MuJoCo limits the whole turn
    scale = own.scale
    if isinstance(scale, str):
        if not limited:
            remedy = "give it a scale in rad in --robot.settings, or a range in the MJCF"
            raise InputError(path, f"joint {name!r} has no range to scale actions by", remedy)
        scale = (range_share(scale) or 0.0) * (high - low)
    middle = 0.5 * (low + high) if limited else 0.0
    return [
        (name, d, scale, d if own.offset == "default" else middle if own.offset == "middle" else float(own.offset))
        for d in default
    ]
