"""MuJoCo's own window, or one line on why there is none."""

from __future__ import annotations

import contextlib
import copy
import importlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import mujoco

from puffer_phc.errors import InputError
from puffer_phc.viewers.render import shadow_reach

_TRACK_DISTANCE = 3.0  # m
_CLOSING_TIME = 10.0  # s


class WindowMaker:
    """MuJoCo's viewer module, once it is sure that it can open a window: without one its launch would wait for ever."""

    def __init__(self, viewer: Any, instead: str) -> None:
        self._viewer, self._instead = viewer, instead

    @contextlib.contextmanager
    def open(self, model: mujoco.MjModel, data: mujoco.MjData, pressed: Callable[[int], None]) -> Iterator[Any]:
        """A window on ``data`` whose camera follows the first body; it is closed at the end of the block.

        Args:
            model: what is shown.
            data: its state, to be changed under the window's ``lock``.
            pressed: gets each key (GLFW's code), in the window's thread.

        Raises:
            InputError: it cannot be opened.
        """
        before = set(threading.enumerate())
        try:
            window = self._viewer.launch_passive(
                model, data, key_callback=pressed, show_left_ui=False, show_right_ui=False
            )
        except (RuntimeError, mujoco.FatalError) as error:
            raise no_window(str(error), self._instead) from error
        window.cam.type = mujoco.mjtCamera.mjCAMERA_TRACKING.value
        window.cam.trackbodyid = 1
        window.cam.distance = _TRACK_DISTANCE
        threads = set(threading.enumerate()) - before
        try:
            yield window
        finally:
            window.close()
            for thread in threads:  # a program that ends while they still draw crashes
                thread.join(_CLOSING_TIME)


def viewable(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy whose lights travel with the first body: a light's shadow covers only its neighbourhood, and flickers."""
    model = copy.copy(model)
    still = model.light_bodyid == 0
    model.light_bodyid[still] = 1
    model.light_mode[still] = mujoco.mjtCamLight.mjCAMLIGHT_TRACK.value
    model.vis.map.shadowclip = shadow_reach(model)
    return model


def open_viewer(instead: str) -> WindowMaker:
    """What opens windows here; ``instead`` is what to do where none can be opened.

    Raises:
        InputError: there is no display, or GLFW is missing.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise no_window("neither DISPLAY nor WAYLAND_DISPLAY is set", instead)
    try:
        glfw, viewer = importlib.import_module("glfw"), importlib.import_module("mujoco.viewer")
    except (ImportError, RuntimeError) as error:
        raise no_window(str(error), instead) from error
    if sys.platform != "darwin":  # there only mjpython's own thread may ask
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GLFW's own words for what is told below
            ready = glfw.init()
        if not ready:
            raise no_window(f"the display {os.environ.get('DISPLAY', '')} does not answer", instead)
    return WindowMaker(viewer, instead)


def no_window(why: str, instead: str) -> InputError:
    """One line on why there is no window."""
    start = "start the script with mjpython" if sys.platform == "darwin" else "start it on a desktop"
    return InputError("viewer", f"no window can be opened ({why})", f"{start} or {instead}")
