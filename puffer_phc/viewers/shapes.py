"""The shapes of a robot's bodies as triangle meshes, for viewers that cannot draw MuJoCo's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import trimesh
from numpy.typing import NDArray

from puffer_phc.robots.robot import Robot

_HIDDEN_GROUPS = 3  # geoms of this group and above are collision shapes that MuJoCo's own viewer hides
_ROUND = 20  # segments around a capsule


@dataclass(frozen=True)
class BodyMesh:
    """All shapes of one body as one mesh in the body's frame.

    Attributes:
        body: the robot's number of it.
        name: its name.
        vertices: (V, 3) m.
        faces: (F, 3) vertex numbers.
    """

    body: int
    name: str
    vertices: NDArray[np.float32]
    faces: NDArray[np.uint32]


def body_meshes(robot: Robot) -> list[BodyMesh]:
    """The bodies that have a shape; those with visual shapes are drawn without their hidden collision shapes."""
    model = robot.model
    meshes = []
    for body, name in enumerate(robot.body_names):
        geoms = [int(geom) for geom in np.flatnonzero(model.geom_bodyid == body + 1)]
        geoms = [geom for geom in geoms if model.geom_group[geom] < _HIDDEN_GROUPS] or geoms
        parts = [part for part in (_geom_mesh(model, geom) for geom in geoms) if part is not None]
        if parts:
            whole: Any = trimesh.util.concatenate(parts)
            meshes.append(
                BodyMesh(body, name, np.asarray(whole.vertices, np.float32), np.asarray(whole.faces, np.uint32))
            )
    return meshes


def _geom_mesh(model: mujoco.MjModel, geom: int) -> trimesh.Trimesh | None:
    """One geom in its body's frame; None for kinds that have no surface to draw."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    types = mujoco.mjtGeom
    if kind == types.mjGEOM_SPHERE:
        mesh = trimesh.creation.icosphere(subdivisions=2, radius=size[0])
    elif kind == types.mjGEOM_CAPSULE:
        mesh = trimesh.creation.capsule(height=2 * size[1], radius=size[0], count=(_ROUND, _ROUND))
        mesh.apply_translation(-mesh.bounds.mean(axis=0))  # some versions build it upwards from the origin
    elif kind == types.mjGEOM_CYLINDER:
        mesh = trimesh.creation.cylinder(radius=size[0], height=2 * size[1], sections=_ROUND)
    elif kind == types.mjGEOM_ELLIPSOID:
        mesh = trimesh.creation.icosphere(subdivisions=2, radius=1.0)
        mesh.apply_scale(size)
    elif kind == types.mjGEOM_BOX:
        mesh = trimesh.creation.box(extents=2 * size)
        mesh.unmerge_vertices()  # shared corners would be shaded as if they were round
    elif kind == types.mjGEOM_MESH:
        mesh = _asset(model, int(model.geom_dataid[geom]))
    else:
        return None
    pose = np.eye(4)
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
    pose[:3, :3], pose[:3, 3] = rotation.reshape(3, 3), model.geom_pos[geom]
    mesh.apply_transform(pose)
    return mesh


def _asset(model: mujoco.MjModel, asset: int) -> trimesh.Trimesh:
    vertices = model.mesh_vert[model.mesh_vertadr[asset] :][: model.mesh_vertnum[asset]]
    faces = model.mesh_face[model.mesh_faceadr[asset] :][: model.mesh_facenum[asset]]
    return trimesh.Trimesh(vertices, faces, process=False)
