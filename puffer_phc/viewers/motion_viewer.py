"""Shows motion files on the humanoid, in MuJoCo's own window or as a video: what the file says, without physics."""

from __future__ import annotations

import importlib
import os
import queue
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from puffer_phc.errors import InputError
from puffer_phc.robots.robot import Robot
from puffer_phc.viewers.motion_player import KEYS, Player, Track, check_speed
from puffer_phc.viewers.render import MotionRenderer
from puffer_phc.viewers.video import VideoWriter

_TICK = 1 / 60  # s between pictures in the window
_VIDEO_FPS = 30.0
_CAPTION = 1 / 24  # letter height over picture height


def show(robot: Robot, player: Player, tell: Callable[[str], None] = print) -> None:
    """Open MuJoCo's window and play until it is closed; keys are :data:`KEYS`.

    Raises:
        InputError: there is no display or no window can be opened; use :func:`write_motion_video` then.
    """
    viewer = _open_viewer()
    pressed: queue.SimpleQueue[int] = queue.SimpleQueue()  # the window's thread presses, ours obeys
    data = mujoco.MjData(robot.model)
    data.qpos[:] = player.track.qpos(0.0)
    try:
        window = viewer.launch_passive(robot.model, data, key_callback=pressed.put, show_left_ui=False)
    except (RuntimeError, mujoco.FatalError) as error:
        raise _no_window(str(error)) from error
    tell(KEYS)
    tell(player.status)
    with window:
        window.cam.type = mujoco.mjtCamera.mjCAMERA_TRACKING.value
        window.cam.trackbodyid = 1
        window.cam.distance = 3.0
        last = time.perf_counter()
        while window.is_running():
            if any([player.press(pressed.get()) for _ in range(pressed.qsize())]):
                tell(player.status)
            now = time.perf_counter()
            with window.lock():
                data.qpos[:] = player.advance(now - last)
                mujoco.mj_forward(robot.model, data)
            last = now
            window.sync()
            time.sleep(max(0.0, _TICK - (time.perf_counter() - now)))


def _open_viewer() -> Any:
    """MuJoCo's viewer module, once it is sure that it can open a window: without one its launch would wait for ever."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise _no_window("neither DISPLAY nor WAYLAND_DISPLAY is set")
    try:
        glfw, viewer = importlib.import_module("glfw"), importlib.import_module("mujoco.viewer")
    except (ImportError, RuntimeError) as error:
        raise _no_window(str(error)) from error
    if sys.platform != "darwin":  # there only mjpython's own thread may ask
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GLFW's own words for what is told below
            ready = glfw.init()
        if not ready:
            raise _no_window(f"the display {os.environ.get('DISPLAY', '')} does not answer")
    return viewer


def _no_window(why: str) -> InputError:
    start = "start the script with mjpython" if sys.platform == "darwin" else "start it on a desktop"
    return InputError("viewer", f"no window can be opened ({why})", f"{start} or give --video OUT.mp4")


def write_motion_video(
    path: str | Path,
    robot: Robot,
    track: Track,
    speed: float = 1.0,
    height: int = 480,
    width: int = 640,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Render the whole clip at ``speed`` to an mp4 of 30 frames per second; needs no display.

    Returns:
        The number of pictures.

    Raises:
        InputError: there is no OpenGL, or the file cannot be written; the message names the remedy.
    """
    check_speed(speed)
    pictures = int(track.duration / speed * _VIDEO_FPS + 1e-9) + 1
    speed_text = "" if speed == 1.0 else f"   speed {speed:g}"
    with (
        VideoWriter(path, fps=_VIDEO_FPS) as video,
        MotionRenderer(robot.model, height, width + 1, fps=_VIDEO_FPS) as renderer,
    ):
        for number in range(pictures):
            seconds = number / _VIDEO_FPS * speed
            pose = track.qpos(seconds)
            picture = renderer.frame(pose, pose)[:, :width]  # the renderer draws two bodies; this is the reference
            video.write(_captioned(picture, f"{track.name}   {seconds:5.2f} s{speed_text}"))
            if progress:
                progress(number + 1, pictures)
    return pictures


def _captioned(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """The picture with a line of text along the bottom."""
    height, width = picture.shape[:2]
    size = max(round(height * _CAPTION), 8)
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image, "RGBA")
    draw.rectangle((0, height - 2 * size, width, height), fill=(0, 0, 0, 120))
    draw.text((width // 2, height - size), text, font=ImageFont.load_default(size), fill="white", anchor="mm")
    return np.array(image)
