"""The collision shapes of a compiled model as points with radii."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from torch import Tensor

_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
_RIM = 16  # points around each end of a cylinder: its sole is 2 % of its radius too high between them
_BALL = 42  # points on an ellipsoid
_MESH = 64  # points of a mesh's hull, at most


@dataclass(frozen=True)
class Geoms:
    """Collision shapes of the bodies: every shape is the convex hull of spheres, so one formula serves all.

    A capsule is two spheres, a box eight of radius zero; cylinders, ellipsoids and meshes are points on their hull.

    Attributes:
        body: (P,) int64, the body each point is fixed to.
        point: (P, 3) m in the body's frame.
        radius: (P,) m.
    """

    body: Tensor
    point: Tensor
    radius: Tensor


def read_geoms(model: mujoco.MjModel) -> Geoms:
    """The shapes of ``model`` that can touch something, the world's own and planes left out."""
    body: list[int] = []
    point: list[np.ndarray] = []
    radius: list[float] = []
    for geom in range(model.ngeom):
        owner = int(model.geom_bodyid[geom]) - 1
        if owner < 0 or not (model.geom_contype[geom] or model.geom_conaffinity[geom]):
            continue
        local, r = _spheres(model, geom)
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, model.geom_quat[geom])
        placed = local @ matrix.reshape(3, 3).T + model.geom_pos[geom]
        body += [owner] * len(placed)
        point += list(placed)
        radius += [float(r)] * len(placed)
    points = torch.tensor(np.array(point).reshape(-1, 3))
    return Geoms(torch.tensor(body, dtype=torch.int64), points, torch.tensor(radius, dtype=torch.float64))


def _spheres(model: mujoco.MjModel, geom: int) -> tuple[np.ndarray, float]:
    """Centres (P, 3) m in the shape's frame, and the common radius, of the spheres whose hull the shape is."""
    kind, size = model.geom_type[geom], model.geom_size[geom]
    kinds = mujoco.mjtGeom
    if kind == kinds.mjGEOM_SPHERE:
        return np.zeros((1, 3)), size[0]
    if kind == kinds.mjGEOM_CAPSULE:
        return np.array([[0, 0, -size[1]], [0, 0, size[1]]]), size[0]
    if kind == kinds.mjGEOM_BOX:
        return _CORNERS * size, 0.0
    if kind == kinds.mjGEOM_CYLINDER:
        turn = 2 * np.pi * np.arange(_RIM) / _RIM
        rim = np.stack((size[0] * np.cos(turn), size[0] * np.sin(turn), np.full(_RIM, size[1])), axis=1)
        return np.concatenate((rim, rim * [1, 1, -1])), 0.0
    if kind == kinds.mjGEOM_ELLIPSOID:
        return _directions(_BALL) * size, 0.0
    if kind == kinds.mjGEOM_MESH:
        return _mesh_hull(model, int(model.geom_dataid[geom])), 0.0
    return np.zeros((0, 3)), 0.0  # planes and height fields stand for the ground


def _directions(count: int) -> np.ndarray:
    """Unit vectors (count, 3) spread evenly (Fibonacci sphere), the poles among them."""
    height = np.linspace(-1.0, 1.0, count)
    turn = np.pi * (1 + 5**0.5) * np.arange(count)
    across = np.sqrt(1 - height**2)
    return np.stack((across * np.cos(turn), across * np.sin(turn), height), axis=1)


def _mesh_hull(model: mujoco.MjModel, mesh: int) -> np.ndarray:
    """Vertices (P, 3) of a mesh that lie furthest in evenly spread directions: its hull, thinned out."""
    first = int(model.mesh_vertadr[mesh])
    vertices = np.asarray(model.mesh_vert[first : first + int(model.mesh_vertnum[mesh])], dtype=float)
    axes = np.concatenate((np.eye(3), -np.eye(3), _directions(_MESH - 6)))
    return vertices[np.unique((vertices @ axes.T).argmax(axis=0))]
