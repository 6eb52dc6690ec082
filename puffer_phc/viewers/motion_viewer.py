"""Shows motion files on the humanoid, in MuJoCo's own window or as a video: what the file says, without physics."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from puffer_phc.robots.robot import Robot
from puffer_phc.viewers.motion_player import KEYS, Player, Track, check_speed
from puffer_phc.viewers.render import MotionRenderer
from puffer_phc.viewers.video import VideoWriter
from puffer_phc.viewers.window import open_viewer, viewable

_TICK = 1 / 60  # s between pictures in the window
_VIDEO_FPS = 30.0
_CAPTION = 1 / 24  # letter height over picture height


def show(robot: Robot, player: Player, tell: Callable[[str], None] = print) -> None:
    """Open MuJoCo's window and play until it is closed; keys are :data:`KEYS`.

    Raises:
        InputError: there is no display or no window can be opened; use :func:`write_motion_video` then.
    """
    maker = open_viewer("give --video OUT.mp4")
    pressed: queue.SimpleQueue[int] = queue.SimpleQueue()  # the window's thread presses, ours obeys
    model = viewable(robot.model)
    data = mujoco.MjData(model)
    data.qpos[:] = player.track.qpos(0.0)
    tell(KEYS)
    tell(player.status)
    with maker.open(model, data, pressed.put) as window:
        last = time.perf_counter()
        while window.is_running():
            if any([player.press(pressed.get()) for _ in range(pressed.qsize())]):
                tell(player.status)
            now = time.perf_counter()
            with window.lock():
                data.qpos[:] = player.advance(now - last)
                mujoco.mj_forward(model, data)
            last = now
            window.sync()
            time.sleep(max(0.0, _TICK - (time.perf_counter() - now)))


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
        MotionRenderer(robot.model, height, width, layout="overlay", fps=_VIDEO_FPS) as renderer,
    ):
        for number in range(pictures):
            seconds = number / _VIDEO_FPS * speed
            picture = renderer.frame(track.qpos(seconds), None)
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
