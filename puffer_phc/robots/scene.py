"""What surrounds every robot: physics options, floor, light and sky; and how collision shapes are added."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco

from puffer_phc.robots.robot import FLOOR, Integrator, PhysicsOptions

Shape = dict[str, object]
_INTEGRATORS: dict[Integrator, mujoco.mjtIntegrator] = {
    "discrete": mujoco.mjtIntegrator.mjINT_DISCRETE,
    "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
}
_SKIN = (0.35, 0.55, 0.75, 1.0)


def floor_scene(name: str, physics: PhysicsOptions) -> mujoco.MjSpec:
    """Options, floor, light and sky; a robot is to be added to it."""
    spec = mujoco.MjSpec()
    spec.modelname = name
    apply_physics(spec, physics)
    add_floor(spec)
    return spec


def apply_physics(spec: mujoco.MjSpec, physics: PhysicsOptions) -> None:
    """Time step and solver."""
    option = spec.option
    option.timestep = physics.timestep
    option.integrator = _INTEGRATORS[physics.integrator]
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.iterations = physics.iterations
    option.ls_iterations = physics.line_search_iterations
    option.tolerance = 1e-6
    # MuJoCo would silently put a diverged humanoid back into its default pose; we want to see it and count it.
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET


def add_floor(spec: mujoco.MjSpec) -> None:
    """A floor at z = 0, a sun, a sky, and pictures large enough for videos."""
    spec.visual.global_.offwidth = 1920
    spec.visual.global_.offheight = 1080
    spec.visual.quality.shadowsize = 2048
    spec.visual.headlight.ambient = (0.35, 0.35, 0.35)
    spec.visual.headlight.diffuse = (0.35, 0.35, 0.35)
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.85, 0.9, 0.95),
        rgb2=(0.55, 0.65, 0.78),
        width=256,
        height=256,
    )
    spec.add_texture(
        name="checker",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=(0.78, 0.8, 0.82),
        rgb2=(0.68, 0.71, 0.74),
        width=256,
        height=256,
    )
    textures = [""] * mujoco.mjtTextureRole.mjNTEXROLE
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "checker"
    spec.add_material(name="floor", textures=textures, texrepeat=(1, 1), texuniform=True)
    spec.worldbody.add_light(
        name="sun",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=(1.5, -1.5, 4),
        dir=(-0.35, 0.35, -1),
        diffuse=(0.6, 0.6, 0.6),
        castshadow=True,
    )
    # Mixed with the robot's shapes, the larger condim (3: friction) and the mean of friction and softness hold.
    spec.worldbody.add_geom(
        name=FLOOR,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(0, 0, 1),
        material="floor",
        condim=3,
        friction=(1, 0.05, 0.05),
        **softness(spec.option.timestep),
    )


def softness(timestep: float) -> dict[str, list[float]]:
    """Contact time constant, PHC's 0.015 s but never below two steps (MuJoCo's stability bound), and impedance."""
    return {"solref": [max(0.015, 2 * timestep), 1.0], "solimp": [0.9, 0.99, 0.003, 0.5, 2.0]}


def capsule(ends: Sequence[float], radius: float) -> Shape:
    """A capsule between two points (6,) m of its body."""
    return {"type": mujoco.mjtGeom.mjGEOM_CAPSULE, "fromto": ends, "size": (radius, 0, 0)}


def add_shape(body: mujoco.MjsBody, name: str, shape: Shape, self_collision: bool, timestep: float) -> None:
    """A collision shape on ``body``."""
    body.add_geom(
        name=name,
        condim=1,
        friction=(1, 0.05, 0.05),
        # A shape that collides with the floor alone answers the floor's type without offering one of its own bit.
        contype=1,
        conaffinity=1 if self_collision else 0,
        rgba=_SKIN,
        **softness(timestep),
        **shape,
    )
