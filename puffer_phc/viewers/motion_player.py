"""What a motion viewer shows when: clips as poses of the robot, and a player that keys steer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poselib.rotations import quat_slerp
from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.ground import contact_lift, first_frames_lift, lowest_point
from puffer_phc.motions.library import HeightFix
from puffer_phc.motions.loading import check_bodies
from puffer_phc.motions.retargeting import transfer
from puffer_phc.robots.robot import Robot

_LOG = logging.getLogger("puffer_phc")

KEYS = "space: pause, left/right: back/forth (one frame when paused), up/down: clip, -/=: speed, backspace: restart"
SPEEDS = (0.01, 100.0)

_SPACE, _MINUS, _EQUAL, _BACKSPACE, _RIGHT, _LEFT, _DOWN, _UP = 32, 45, 61, 259, 262, 263, 264, 265  # GLFW's codes
_SCRUB = 0.25  # s


@dataclass(frozen=True)
class Track:
    """A clip as poses of the robot's model.

    Attributes:
        name: the clip's name.
        fps: frames per second.
        root_pos: (T, 3) m, height fix included.
        local_rot: (T, B, 4) wxyz, the root's in the world.
    """

    name: str
    fps: float
    root_pos: Tensor
    local_rot: Tensor

    @property
    def duration(self) -> float:
        """Seconds from the first to the last frame."""
        return (len(self.root_pos) - 1) / self.fps

    def qpos(self, seconds: float) -> NDArray[np.float64]:
        """MuJoCo positions (nq,) at a time, interpolated; before the start the first pose, after the end the last."""
        frame = min(max(seconds * self.fps, 0.0), len(self.root_pos) - 1)
        before = min(int(frame), len(self.root_pos) - 2)
        blend = torch.tensor(frame - before, dtype=torch.float64)
        root_pos = torch.lerp(self.root_pos[before], self.root_pos[before + 1], blend)
        local_rot = quat_slerp(self.local_rot[before], self.local_rot[before + 1], blend)
        return torch.cat((root_pos, local_rot.flatten())).numpy()


def make_track(clip: MotionClip, robot: Robot, height_fix: HeightFix = "contact") -> Track:
    """The clip on the robot and the floor; one on a skeleton of its own is transferred as it is, nothing mended.

    Raises:
        InputError: the clip has bodies that cannot be mapped to the robot's.
    """
    moved = clip if clip.skeleton is None else transfer(clip, robot)
    check_bodies(moved, robot.body_names)
    root_pos = moved.root_pos
    if height_fix != "off":
        lowest = lowest_point(robot.geoms, *robot.skeleton.forward_kinematics(root_pos, moved.local_rot))
        lift = contact_lift(lowest, moved.fps) if height_fix == "contact" else first_frames_lift(lowest)
        root_pos = root_pos + lift[:, None] * root_pos.new_tensor([0.0, 0.0, 1.0])
    return Track(moved.name, moved.fps, root_pos, moved.local_rot)


def choose_clip(clips: Sequence[MotionClip], wanted: str, where: str | Path) -> int:
    """Index of the clip called ``wanted``, else of the clip of that number, counted from 0.

    Raises:
        InputError: there is no such clip; the message lists the first names.
    """
    names = [clip.name for clip in clips]
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(clips):
        return int(wanted)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    remedy = f"give a number from 0 to {len(names) - 1} or one of {', '.join(names[:5])}{more}"
    raise InputError(where, f"it has no clip {wanted!r}", remedy)


def check_speed(speed: float) -> None:
    """Raises InputError unless ``speed`` is one that can be watched."""
    if not SPEEDS[0] <= speed <= SPEEDS[1]:  # also false for NaN
        raise InputError("--speed", f"is {speed:g}", f"give a factor between {SPEEDS[0]:g} and {SPEEDS[1]:g}")


class Player:
    """What is shown when: the clip, the time in it, and what the keys do to them; clips are repeated.

    Attributes:
        index: which clip is shown.
        seconds: time in it.
        speed: seconds of motion per second.
        playing: False while paused.
        track: the clip shown.
    """

    def __init__(self, make: Callable[[int], Track], count: int, index: int = 0, speed: float = 1.0) -> None:
        """Args: make: the track of a clip by index; count: clips; index: the first to show; speed: the factor."""
        self._make, self._count = make, count
        self.seconds, self.speed, self.playing = 0.0, speed, True
        self.index, self.track = index, make(index)

    def advance(self, elapsed: float) -> NDArray[np.float64]:
        """Pose (nq,) after another ``elapsed`` seconds; beyond the end the clip starts again."""
        if self.playing:
            self.seconds += elapsed * self.speed
            if self.seconds > self.track.duration:
                self.seconds = 0.0
        return self.track.qpos(self.seconds)

    def press(self, key: int) -> bool:
        """Do what a key (GLFW's code) stands for; whether it stands for anything."""
        if key == _SPACE:
            self.playing = not self.playing
        elif key in (_LEFT, _RIGHT):
            step = _SCRUB if self.playing else 1.0 / self.track.fps
            self.seconds = min(max(self.seconds + (step if key == _RIGHT else -step), 0.0), self.track.duration)
        elif key in (_UP, _DOWN):
            self.index = (self.index + (1 if key == _UP else -1)) % self._count
            self.track, self.seconds = self._make(self.index), 0.0
        elif key in (_MINUS, _EQUAL):
            speed = self.speed * (2.0 if key == _EQUAL else 0.5)
            self.speed = min(max(speed, SPEEDS[0]), SPEEDS[1])
        elif key == _BACKSPACE:
            self.seconds = 0.0
        else:
            return False
        return True

    @property
    def status(self) -> str:
        """Clip, its length, speed and whether it is paused, for one line."""
        state = "" if self.playing else ", paused"
        track = self.track
        return f"{self.index}: {track.name} ({self.seconds:.2f} of {track.duration:.2f} s), speed {self.speed:g}{state}"


def player_for(clips: Sequence[MotionClip], robot: Robot, index: int, height_fix: HeightFix, speed: float) -> Player:
    """A player of ``clips`` that starts with number ``index`` and passes over clips that do not fit the robot.

    Raises:
        InputError: the clip to start with does not fit the robot.
    """
    check_speed(speed)
    tracks: dict[int, Track] = {index: make_track(clips[index], robot, height_fix)}

    def make(number: int) -> Track:
        if number not in tracks:
            try:
                tracks[number] = make_track(clips[number], robot, height_fix)
            except InputError as error:
                _LOG.warning("%s", error)
                tracks[number] = replace(tracks[index], name=f"{clips[index].name} instead of {clips[number].name}")
        return tracks[number]

    return Player(make, len(clips), index, speed)
