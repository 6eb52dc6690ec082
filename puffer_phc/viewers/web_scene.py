"""The three-dimensional part of the web page: humanoids, their references as ghosts, and a floor that rolls along."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import viser
from numpy.typing import NDArray

from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import MotionState
from puffer_phc.viewers.render import REFERENCE_COLOUR, SIMULATION_COLOUR
from puffer_phc.viewers.shapes import body_meshes

GhostPlace = Literal["over", "beside", "hidden"]
Array = NDArray[np.float64]

_SPACING = 2.5  # m between humanoids
_BESIDE = np.array([0.0, 1.2, 0.0])  # m
_OPACITY = 0.4
_AMBIENT = 0.4  # in full, viser's own ambient light bleaches the colours
_FOLLOW_TIME = 0.2  # s: the view's lag behind the first humanoid
_TELEPORT = 1.0  # m in one picture: a new clip or a restart, where the view must cut instead of fly
_TILE = 1.0  # m between the floor's lines


class Stage:
    """Draws N humanoids through a viser server.

    The camera belongs to the person at the page. To follow the first humanoid, the world is moved under the camera
    instead, and the floor by whole tiles, so that orbiting and following do not fight.

    Attributes:
        follow: keep the first humanoid in the middle.
        ghost: where the reference is drawn.
    """

    def __init__(self, server: viser.ViserServer, robot: Robot, num_envs: int) -> None:
        self.follow = True
        self.ghost: GhostPlace = "over"
        self._server = server
        columns = math.ceil(math.sqrt(num_envs))
        cells = [divmod(env, columns) for env in range(num_envs)]
        self._cells = np.array([[-_SPACING * row, -_SPACING * column, 0.0] for row, column in cells])
        self._offsets = self._cells
        self._centre, self._target = np.zeros(3), np.zeros(3)
        server.scene.set_up_direction("+z")
        away, middle = 2.6 + 1.3 * (columns - 1), self._cells.mean(axis=0)
        server.initial_camera.position = middle + np.array([away, -away, 0.6 * away])
        server.initial_camera.look_at = middle + np.array([0.0, 0.0, 0.85])
        server.initial_camera.fov = math.radians(50)
        server.scene.configure_environment_map("warehouse", environment_intensity=_AMBIENT)
        self._world = server.scene.add_frame("/world", show_axes=False)
        self._floor = server.scene.add_grid(
            "/floor",
            width=60 * _TILE,
            height=60 * _TILE,
            cell_size=_TILE,
            section_size=_TILE,
            cell_color=(190, 196, 204),
            section_color=(190, 196, 204),
            plane_color=(225, 229, 234),
            plane_opacity=1.0,
            fade_distance=25.0,
            shadow_opacity=0.2,
        )
        self._bodies = [mesh.body for mesh in body_meshes(robot)]
        self._simulated = self._figures(robot, num_envs, "simulation", SIMULATION_COLOUR, None)
        self._reference = self._figures(robot, num_envs, "reference", REFERENCE_COLOUR, _OPACITY)

    def _figures(
        self, robot: Robot, count: int, name: str, colour: tuple[float, float, float], opacity: float | None
    ) -> list[Any]:
        """One batch of ``count`` equal meshes for each body that has a shape."""
        rotations, positions = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)), np.zeros((count, 3))
        return [
            self._server.scene.add_batched_meshes_simple(
                f"/world/{name}/{mesh.name}",
                mesh.vertices,
                mesh.faces,
                rotations,
                positions,
                batched_colors=colour,
                opacity=opacity,
                cast_shadow=opacity is None,
                receive_shadow=opacity is None,
                lod="off",
            )
            for mesh in body_meshes(robot)
        ]

    def begin(self, start: Array) -> None:
        """Put each humanoid's cell under the point (N, 3) where its clip begins."""
        self._offsets = self._cells - start * [1.0, 1.0, 0.0]

    def draw(self, simulated: MotionState, reference: MotionState | None, elapsed: float) -> None:
        """Show humanoids and references; ``elapsed`` s after the last picture."""
        position = simulated.body_pos.double().cpu().numpy() + self._offsets[:, None]
        with self._server.atomic():
            self._place(self._simulated, position, simulated.body_rot.double().cpu().numpy())
            seen = reference is not None and self.ghost != "hidden"
            for figure in self._reference:
                figure.visible = seen
            if reference is not None and seen:
                aside = self._offsets + (_BESIDE if self.ghost == "beside" else 0.0)
                position_of_ghosts = reference.body_pos.double().cpu().numpy() + aside[:, None]
                self._place(self._reference, position_of_ghosts, reference.body_rot.double().cpu().numpy())
            if self.follow:
                self._look_at(position[0, 0], elapsed)

    def _place(self, figures: list[Any], position: Array, rotation: Array) -> None:
        for body, figure in zip(self._bodies, figures, strict=True):
            figure.batched_positions = position[:, body]
            figure.batched_wxyzs = rotation[:, body]

    def _look_at(self, target: Array, elapsed: float) -> None:
        jumped = float(np.linalg.norm(target - self._target)) > _TELEPORT
        blend = 1.0 if jumped else 1.0 - math.exp(-elapsed / _FOLLOW_TIME)
        self._centre, self._target = self._centre + blend * (target - self._centre), target
        x, y = self._centre[:2]
        self._world.position = (-x, -y, 0.0)
        self._floor.position = (-math.fmod(x, _TILE), -math.fmod(y, _TILE), 0.0)
