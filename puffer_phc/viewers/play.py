"""A recording as an mp4: reference and simulation side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from puffer_phc.evaluation.evaluator import Recording
from puffer_phc.robots.robot import Robot
from puffer_phc.viewers.render import MotionRenderer
from puffer_phc.viewers.video import VideoWriter


def write_video(
    path: Path, robot: Robot, recording: Recording, fps: float, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Render ``recording`` to ``path``; needs no display.

    Raises:
        InputError: no OpenGL is to be had, or the file cannot be written; the message names the remedy.
    """
    frames = len(recording.simulated)
    with MotionRenderer(robot.model, fps=fps) as renderer, VideoWriter(path, fps=fps) as video:
        for frame in range(frames):
            error = float(recording.error[frame])
            caption = f"{recording.name}   {frame / fps:5.2f} s   mean error {error:4.0f} mm"
            image = renderer.frame(recording.simulated[frame].numpy(), recording.reference[frame].numpy(), caption)
            video.write(image)
            if progress:
                progress(frame + 1, frames)
    return path
