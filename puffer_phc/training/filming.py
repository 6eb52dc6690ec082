"""Short videos while a policy trains, drawn by another process: training waits for the recording alone.

A process of its own, not a thread: software OpenGL and torch's compiler each bring an LLVM, which do not get along in
one process, and a crash of a graphics driver must not end a training run.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from contextlib import suppress
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

from puffer_phc.errors import InputError
from puffer_phc.evaluation.evaluator import Recording
from puffer_phc.robots.robot import Robot
from puffer_phc.viewers.options import Layout

_PATIENCE = 60.0  # s for the last video, when training has ended
_LOG = logging.getLogger("puffer_phc")


class Filmer:
    """Draws one recording after the other into a folder.

    Args:
        folder: made when the first video is.
        robot: who is in it.
        control_dt: s.
        layout: of the pictures.
    """

    def __init__(self, folder: Path, robot: Robot, control_dt: float, layout: Layout) -> None:
        # Robots cross to the other process without what they were made from, which MuJoCo cannot send.
        self._robot = replace(robot, spec=None)
        self._folder, self._fps, self._layout = folder, 1.0 / control_dt, layout
        self._process: BaseProcess | None = None
        self._path = folder

    @property
    def busy(self) -> bool:
        """Whether the last recording is still being drawn."""
        return self._process is not None and self._process.is_alive()

    def start(self, recording: Recording, step: int) -> Path:
        """Begin to draw; returns the path that the video will have."""
        name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in recording.name)[:100]
        self._path = self._folder / f"step_{step:012d}_{name}.mp4"
        arguments = (self._path, self._robot, recording, self._fps, self._layout)
        # Spawned, not forked: the child must not inherit the GPU's state.
        self._process = multiprocessing.get_context("spawn").Process(target=_draw, args=arguments, daemon=True)
        self._process.start()
        return self._path

    def finished(self) -> list[Path]:
        """The video that is complete since the last call, if any; none where drawing failed."""
        if self._process is None or self.busy:
            return []
        self._process = None
        return [self._path] if self._path.is_file() else []

    def close(self) -> list[Path]:
        """Wait for the last video, at most a minute; returns it as :meth:`finished`."""
        if self._process is not None:
            self._process.join(_PATIENCE)
            if self._process.is_alive():
                self._process.terminate()
        return self.finished()


def _draw(path: Path, robot: Robot, recording: Recording, fps: float, layout: Layout) -> None:
    """The other process: one video, at a low priority."""
    from puffer_phc.viewers.play import write_video

    with suppress(OSError):
        os.nice(10)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, robot, recording, fps, layout)
    except (InputError, OSError) as error:
        _LOG.warning("no video while training: %s", error)
