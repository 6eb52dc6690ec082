"""A policy at play in MuJoCo's own window, steered by keys; the reference is a ghost."""

from __future__ import annotations

import math
import queue
import random
import time
from collections.abc import Callable

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray

from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import MotionState
from puffer_phc.viewers.render import REFERENCE_COLOUR, add_ghost
from puffer_phc.viewers.session import Pacer, PlaySession
from puffer_phc.viewers.weights import Shelf
from puffer_phc.viewers.window import WindowMaker, viewable

KEYS = (
    "space: pause, left/right: back/forth (one step when paused), up/down: clip, -/=: speed, R: restart, "
    "J: push, K: reference on/off"
)

_SPACE, _MINUS, _EQUAL, _J, _K, _R, _RIGHT, _LEFT, _DOWN, _UP = 32, 45, 61, 74, 75, 82, 262, 263, 264, 265  # GLFW's
_TAKEN_OPTIONS = [mujoco.mjtVisFlag.mjVIS_JOINT.value]  # by J
_TAKEN_LOOKS = [mujoco.mjtRndFlag.mjRND_REFLECTION.value, mujoco.mjtRndFlag.mjRND_SKYBOX.value]  # by R and K
_SPEEDS = (1 / 16, 8.0)
_PUSH = 1.0  # m/s
_SCRUB = 0.5  # s
_PICTURE = 1 / 60  # s


def show(maker: WindowMaker, session: PlaySession, shelf: Shelf, tell: Callable[[str], None]) -> None:
    """Play in a window until it is closed; keys are :data:`KEYS`. Only the first humanoid is shown.

    Raises:
        InputError: no window can be opened.
    """
    robot = session.env.robot
    model = viewable(robot.model)
    data, ghost = mujoco.MjData(model), mujoco.MjData(model)
    pressed: queue.SimpleQueue[int] = queue.SimpleQueue()  # the window's thread presses, ours obeys
    player, pacer = KeyedPlayer(session), Pacer(session.env.control_dt)
    data.qpos[:] = first_qpos(robot, session.shown.state)
    tell(KEYS)
    tell(f"{shelf.name}: {player.status}")
    with maker.open(model, data, pressed.put) as window:
        option_flags, scene_flags = window.opt.flags.copy(), window.user_scn.flags.copy()
        last = time.perf_counter()
        while window.is_running():
            if any([player.press(pressed.get()) for _ in range(pressed.qsize())]):
                tell(player.status)
            now = time.perf_counter()
            if player.playing:
                for _ in range(pacer.due(now - last, player.speed)):
                    session.step()
            last = now
            reference = session.reference() if player.ghost else None
            with window.lock():
                data.qpos[:] = first_qpos(robot, session.shown.state)
                mujoco.mj_forward(model, data)
                # The window takes some of our keys for its own: they would show joints, hide the sky and so on.
                window.opt.flags[_TAKEN_OPTIONS] = option_flags[_TAKEN_OPTIONS]
                window.user_scn.flags[_TAKEN_LOOKS] = scene_flags[_TAKEN_LOOKS]
                window.user_scn.ngeom = 0
                if reference is not None:
                    ghost.qpos[:] = first_qpos(robot, reference)
                    add_ghost(model, ghost, window.user_scn, REFERENCE_COLOUR)
            window.sync()
            time.sleep(max(0.0, _PICTURE - (time.perf_counter() - now)))


class KeyedPlayer:
    """What keys do to a session.

    Attributes:
        playing: False while paused.
        speed: seconds of simulation per second.
        ghost: whether the reference is drawn.
    """

    def __init__(self, session: PlaySession) -> None:
        self._session = session
        self.playing, self.speed, self.ghost = True, 1.0, True

    def press(self, key: int) -> bool:
        """Do what a key (GLFW's code) stands for; whether it stands for anything."""
        session = self._session
        if key == _SPACE:
            self.playing = not self.playing
        elif key == _RIGHT and not self.playing:
            session.step()
        elif key in (_LEFT, _RIGHT):
            steps = round(_SCRUB / session.env.control_dt) if self.playing else 1
            session.seek(session.now + (steps if key == _RIGHT else -steps))
        elif key in (_UP, _DOWN):
            session.choose(session.clip + (1 if key == _UP else -1))
        elif key in (_MINUS, _EQUAL):
            self.speed = min(max(self.speed * (2.0 if key == _EQUAL else 0.5), _SPEEDS[0]), _SPEEDS[1])
        elif key == _R:
            session.restart()
        elif key == _J:
            angle = random.uniform(0.0, 2 * math.pi)
            session.push(_PUSH * torch.tensor([math.cos(angle), math.sin(angle), 0.0]))
        elif key == _K:
            self.ghost = not self.ghost
        else:
            return False
        return True

    @property
    def status(self) -> str:
        """Clip, time, error, speed and whether it is paused, for one line."""
        session, dt = self._session, self._session.env.control_dt
        error = float(session.shown.error[0])
        error_text = "" if math.isnan(error) else f", error {1e3 * error:.0f} mm"
        name, state = session.names[session.clip], "" if self.playing else ", paused"
        time_text = f"{session.now * dt:.2f} of {session.last_step * dt:.2f} s"
        return f"{session.clip}: {name} ({time_text}{error_text}), speed {self.speed:g}{state}"


def first_qpos(robot: Robot, state: MotionState) -> NDArray[np.float64]:
    """MuJoCo positions (nq,) of the first humanoid."""
    return robot.qpos(state.root_pos[:1], state.local_rot[:1])[0].double().cpu().numpy()
