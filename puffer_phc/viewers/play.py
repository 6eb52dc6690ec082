"""A recording as an mp4: reference and simulation side by side or one over the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from puffer_phc.evaluation.evaluator import Recording
from puffer_phc.robots.robot import Robot
from puffer_phc.viewers.options import Layout
from puffer_phc.viewers.render import MotionRenderer
from puffer_phc.viewers.video import VideoWriter

_HEIGHT, _WIDTH = 480, 852  # pixels; both divide by four, so that halves are even
_FPS = 30.0  # at most: drawing on a processor takes longer than simulating


def write_video(
    path: Path,
    robot: Robot,
    recording: Recording,
    fps: float,
    layout: Layout = "side",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render ``recording`` of ``fps`` poses per second to ``path``; needs no display.

    Without a reference the simulation is alone in the picture, whatever the layout.

    Raises:
        InputError: no OpenGL is to be had, or the file cannot be written; the message names the remedy.
    """
    simulated, reference = recording.simulated, recording.reference
    stride = max(1, round(fps / _FPS))
    frames = range(0, len(simulated), stride)
    layout = layout if reference is not None else "overlay"
    width = _WIDTH // 2 if layout == "side" else _WIDTH
    with (
        MotionRenderer(robot.model, _HEIGHT, width, layout=layout, fps=fps / stride) as renderer,
        VideoWriter(path, fps=fps / stride) as video,
    ):
        for number, frame in enumerate(frames):
            caption = f"{recording.name}   {frame / fps:5.2f} s"
            pose = None
            if reference is not None:
                pose = reference[frame].numpy()
                caption += f"   mean error {float(recording.error[frame]):4.0f} mm"
            video.write(renderer.frame(simulated[frame].numpy(), pose, caption))
            if progress:
                progress(number + 1, len(frames))
    return path
