"""Pictures of a simulated body beside, or over, the reference motion it should perform, drawn without a screen."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import weakref
from types import TracebackType
from typing import Any, Self

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from puffer_phc.errors import InputError
from puffer_phc.viewers.gl import GLContext, make_context
from puffer_phc.viewers.options import Layout

Rgb = tuple[float, float, float]

REFERENCE_COLOUR: Rgb = (0.93, 0.47, 0.20)
SIMULATION_COLOUR: Rgb = (0.24, 0.50, 0.82)
"""Orange and blue stay apart under every common colour blindness."""

_MAX_GEOMS = 2000
_FOLLOW_TIME = 0.15  # s: the camera's lag behind the root in the ground plane; smooths steps, keeps a sprint in view
_FOLLOW_TIME_UP = 0.6  # s: slower in height, so that a jump is seen as a jump
_FRAMING = 1.15  # the picture's half height over the body's radius
_SHADOW_REACH = 2.0  # the shadow map's half width over the body's radius: a low light throws long shadows
_TEXT_HEIGHT = 1 / 24  # of the picture's height
_GHOST = 0.35  # opacity
_SLICES, _STACKS = 16, 8  # facets around and along round shapes: a fifth faster than MuJoCo's 28 and 16, looks the same
_TELEPORT = 1.0  # m in one frame: a new clip or a reset, where the camera must cut instead of fly


class MotionRenderer:
    """Draws the reference and the simulation of one robot, followed by a camera.

    Layout ``side`` puts the reference left and the simulation right; both cameras look in the same direction, so equal
    poses look equal. ``overlay`` draws the simulation with the reference as a ghost where it should be. Floor, sky and
    lights are the model's own; lights fixed to the world travel along, since a light's shadow covers only its
    neighbourhood. Use it as a context manager, in one thread.

    Args:
        model: any model whose robot hangs on a free joint (the first one is followed); it is not changed.
        height: pixels of the picture.
        width: pixels of each half, or of the picture in the layout ``overlay``.
        layout: ``side`` or ``overlay``.
        fps: pictures per second, the time base of the camera's smoothing.
        azimuth: camera direction in the ground plane, degrees (MuJoCo's convention; 90 looks along +y).
        elevation: camera direction over the ground, degrees; negative looks down.
        distance: from camera to body, m; None takes it from the body's size.
        shadows: draw shadows, which show contact with the floor; half of the time with software OpenGL.
        reflections: draw the floor's reflection, when its material has one.
        samples: anti-aliasing samples a pixel; 0 for none, 4 doubles the time with software OpenGL.
        shadow_size: resolution of the shadow map, pixels; it covers the body and a step around it.

    Raises:
        InputError: the model has no free joint, or there is no OpenGL.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        height: int = 480,
        width: int = 640,
        *,
        layout: Layout = "side",
        fps: float = 30.0,
        azimuth: float = 130.0,
        elevation: float = -12.0,
        distance: float | None = None,
        shadows: bool = True,
        reflections: bool = False,
        samples: int = 0,
        shadow_size: int = 1024,
    ) -> None:
        self.height, self.width, self.layout = height, width, layout
        whole = 2 * width if layout == "side" else width
        self.model = copy.copy(model)  # the off-screen buffer's size and quality are fields of the model
        self.model.vis.global_.offwidth, self.model.vis.global_.offheight = whole, height
        self.model.vis.quality.offsamples, self.model.vis.quality.shadowsize = samples, shadow_size
        self.model.vis.quality.numslices, self.model.vis.quality.numstacks = _SLICES, _STACKS

        radius = _body_radius(self.model)
        self.model.vis.map.shadowclip = shadow_reach(self.model)

        # The context comes first: without one, MuJoCo's own calls end in a fatal error instead of a message.
        self._gl = make_context(whole, height)
        self._context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        self._free = weakref.finalize(self, _free, self._context, self._gl)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)

        flags = {mujoco.mjtRndFlag.mjRND_SHADOW: shadows, mujoco.mjtRndFlag.mjRND_REFLECTION: reflections}
        if distance is None:
            distance = _FRAMING * radius / math.sin(math.radians(self.model.vis.global_.fovy) / 2.0)
        camera = _Camera(fps, azimuth, elevation, distance)
        self._reference = _View(self.model, REFERENCE_COLOUR, camera, flags)
        self._simulation = _View(self.model, SIMULATION_COLOUR, copy.copy(camera), flags)
        self._pixels = np.empty((height, whole, 3), dtype=np.uint8)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def frame(self, sim_qpos: ArrayLike, ref_qpos: ArrayLike | None, caption: str | None = None) -> NDArray[np.uint8]:
        """One picture.

        Args:
            sim_qpos: simulated pose (nq,), as the model's ``qpos``.
            ref_qpos: reference pose (nq,); None for none, which only the layout ``overlay`` can show.
            caption: a line of text at the bottom, such as the tracking error; None for none.

        Returns:
            RGB picture (height, 2 * width, 3) uint8, or (height, width, 3) in the layout ``overlay``; a new array.

        Raises:
            ValueError: a pose has another length than ``nq``, the reference is missing, or the renderer is closed.
        """
        if not self._free.alive:
            raise ValueError("the renderer is closed")
        self._gl.make_current()
        if self.layout == "overlay":
            self._draw(0, self._simulation.update(sim_qpos, ref_qpos))
        elif ref_qpos is None:
            raise ValueError("the layout side needs a reference")
        else:
            self._draw(0, self._reference.update(ref_qpos))
            self._draw(self.width, self._simulation.update(sim_qpos))
        height, width, _ = self._pixels.shape
        mujoco.mjr_readPixels(self._pixels, None, mujoco.MjrRect(0, 0, width, height), self._context)
        picture = np.flipud(self._pixels).copy()  # OpenGL's rows run from the bottom up
        if self.layout == "side":
            picture[:, self.width - 1 : self.width + 1] = 255
        labels = [] if ref_qpos is None else [("reference", REFERENCE_COLOUR), ("simulation", SIMULATION_COLOUR)]
        return _with_text(picture, labels, caption)

    def _draw(self, left: int, scene: mujoco.MjvScene) -> None:
        mujoco.mjr_render(mujoco.MjrRect(left, 0, self.width, self.height), scene, self._context)

    def reset_camera(self) -> None:
        """Let the next picture start with the cameras on the bodies, as for a new clip."""
        self._reference.camera.reset()
        self._simulation.camera.reset()

    def close(self) -> None:
        """Release the OpenGL context; a second call does nothing."""
        self._free()


class _Camera:
    """A free camera that follows a point with a lag, in a fixed direction."""

    def __init__(self, fps: float, azimuth: float, elevation: float, distance: float) -> None:
        self.azimuth, self.elevation, self.distance = azimuth, elevation, distance
        keep = [math.exp(-1.0 / (fps * time)) for time in (_FOLLOW_TIME, _FOLLOW_TIME, _FOLLOW_TIME_UP)]
        self._step = 1.0 - np.array(keep)
        self._look_at: NDArray[np.float64] | None = None
        self._target: NDArray[np.float64] | None = None

    def reset(self) -> None:
        self._look_at = self._target = None

    def follow(self, target: NDArray[np.float64]) -> NDArray[np.float64]:
        """The point (3,) m to look at, one picture later, when the body is at ``target`` (3,) m."""
        jumped = self._target is None or float(np.linalg.norm(target - self._target)) > _TELEPORT
        if self._look_at is None or jumped:
            self._look_at = target.copy()
        self._look_at = self._look_at + self._step * (target - self._look_at)
        self._target = target.copy()
        return self._look_at

    def view(self, look_at: NDArray[np.float64]) -> mujoco.MjvCamera:
        camera = mujoco.MjvCamera()
        camera.type = mujoco.mjtCamera.mjCAMERA_FREE.value
        camera.lookat[:] = look_at
        camera.azimuth, camera.elevation, camera.distance = self.azimuth, self.elevation, self.distance
        return camera


class _View:
    """One scene: a body with its own pose, colour and camera, and perhaps the ghost of another."""

    def __init__(
        self, model: mujoco.MjModel, colour: Rgb, camera: _Camera, flags: dict[mujoco.mjtRndFlag, bool]
    ) -> None:
        self.model = _painted(model, colour)
        self.camera = camera
        self._root = _root_body(model)
        self._data, self._ghost = mujoco.MjData(self.model), mujoco.MjData(self.model)
        self._scene = mujoco.MjvScene(self.model, _MAX_GEOMS)
        self._option = mujoco.MjvOption()
        self._still_lights = np.flatnonzero(model.body_weldid[model.light_bodyid] == 0)
        for flag, value in flags.items():
            self._scene.flags[flag] = value

    def update(self, qpos: ArrayLike, ghost: ArrayLike | None = None) -> mujoco.MjvScene:
        """The scene with the body in pose ``qpos`` (nq,), and a ghost in pose ``ghost`` (nq,)."""
        self._data.qpos[:] = self._pose(qpos)
        mujoco.mj_kinematics(self.model, self._data)
        mujoco.mj_comPos(self.model, self._data)
        mujoco.mj_camlight(self.model, self._data)
        look_at = self.camera.follow(self._data.xpos[self._root])
        self._data.light_xpos[self._still_lights, :2] += look_at[:2]
        every_kind = mujoco.mjtCatBit.mjCAT_ALL.value
        view = self.camera.view(look_at)
        # An endless floor is laid around the camera the scene has so far: without this, one picture too late.
        mujoco.mjv_updateCamera(self.model, self._data, view, self._scene)
        mujoco.mjv_updateScene(self.model, self._data, self._option, None, view, every_kind, self._scene)
        if ghost is not None:
            self._ghost.qpos[:] = self._pose(ghost)
            add_ghost(self.model, self._ghost, self._scene, REFERENCE_COLOUR)
        return self._scene

    def _pose(self, qpos: ArrayLike) -> NDArray[np.float64]:
        pose = np.asarray(qpos, dtype=np.float64)
        if pose.shape != (self.model.nq,):
            raise ValueError(f"a pose of this model is ({self.model.nq},), not {pose.shape}")
        return pose


def add_ghost(model: mujoco.MjModel, data: mujoco.MjData, scene: mujoco.MjvScene, colour: Rgb) -> None:
    """Add the model's moving parts in the pose ``data.qpos``, translucent, to a scene that has room for them."""
    mujoco.mj_kinematics(model, data)
    first = scene.ngeom
    option, perturb = mujoco.MjvOption(), mujoco.MjvPerturb()
    mujoco.mjv_addGeoms(model, data, option, perturb, mujoco.mjtCatBit.mjCAT_DYNAMIC.value, scene)
    for geom in scene.geoms[first : scene.ngeom]:
        geom.matid = -1  # a material's colour would win over the geom's
        geom.rgba[:] = (*colour, _GHOST)


def _free(context: mujoco.MjrContext, gl: GLContext) -> None:
    """Release both, the drawing context while its OpenGL context is current, without which its objects would leak."""
    with contextlib.suppress(RuntimeError):  # at interpreter exit the display may be gone, and its objects with it
        gl.make_current()
        context.free()
    gl.free()


def _root_body(model: mujoco.MjModel) -> int:
    free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
    if free.size == 0:
        raise InputError("robot model", "has no free joint, so there is no root to follow", "use a floating-base model")
    return int(model.jnt_bodyid[free[0]])


def _robot_geoms(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Which geoms (ngeom,) hang on the followed root, in contrast to floor and props."""
    tree = model.body_rootid[model.geom_bodyid]
    return tree == model.body_rootid[_root_body(model)]


def _painted(model: mujoco.MjModel, colour: Rgb) -> mujoco.MjModel:
    """A copy of the model whose robot has one matt colour; transparent geoms keep their transparency."""
    painted = copy.copy(model)
    robot = _robot_geoms(model)
    painted.geom_matid[robot] = -1  # a material's colour would win over the geom's
    painted.geom_rgba[robot, :3] = colour
    return painted


def _body_radius(model: mujoco.MjModel) -> float:
    """Radius (m) around the root that holds the whole body in its default pose."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    robot = _robot_geoms(model)
    centre = data.xpos[_root_body(model)]
    reach = np.linalg.norm(data.geom_xpos[robot] - centre, axis=-1) + model.geom_rbound[robot]
    return float(reach.max()) if reach.size else 1.0


def shadow_reach(model: mujoco.MjModel) -> float:
    """The option ``shadowclip`` that lets a light's shadow map cover the body and a step around it, and no more."""
    return _SHADOW_REACH * _body_radius(model) / float(model.stat.extent)


def _with_text(picture: NDArray[np.uint8], labels: list[tuple[str, Rgb]], caption: str | None) -> NDArray[np.uint8]:
    """The picture with a coloured label at the top of each of its equal parts and a caption along the bottom."""
    height, width = picture.shape[:2]
    size = max(round(height * _TEXT_HEIGHT), 8)
    font = _font(size)
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image, "RGBA")
    for part, (text, colour) in enumerate(labels):
        left, top = part * width // len(labels) + size // 2, size // 2
        right, bottom = left + size + int(font.getlength(text)), top + round(1.7 * size)
        fill = (*(round(255 * channel) for channel in colour), 230)
        draw.rounded_rectangle((left, top, right, bottom), radius=size // 3, fill=fill)
        draw.text(((left + right) // 2, (top + bottom) // 2), text, font=font, fill="white", anchor="mm")
    if caption:
        line = " ".join(caption.split())
        while line and font.getlength(line) > width - size:
            line = line[:-2] + "…" if len(line) > 1 else ""
        draw.rectangle((0, height - 2 * size, width, height), fill=(0, 0, 0, 120))
        draw.text((width // 2, height - size), line, font=font, fill="white", anchor="mm")
    return np.array(image)


@functools.lru_cache(maxsize=4)
def _font(size: int) -> Any:
    """Pillow's own font, so that a picture looks the same on every machine."""
    return ImageFont.load_default(size)
