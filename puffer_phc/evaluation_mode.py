"""``--mode eval``, and the evaluation at the end of training: play, measure, write tables and the web page."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from puffer_phc.config import Config
from puffer_phc.errors import InputError
from puffer_phc.evaluation.evaluator import Evaluator, Recording
from puffer_phc.evaluation.html_report import Exhibit, evaluation_page
from puffer_phc.evaluation.metrics import ClipResult
from puffer_phc.evaluation.outcome import Outcome
from puffer_phc.evaluation.report import FAILED_FILE, hardest, write_atomic
from puffer_phc.factory import make_library
from puffer_phc.motions.clip_lists import lines_of
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.robots.robot import Robot
from puffer_phc.viewers.play import write_video
from puffer_phc.viewers.render import MotionRenderer

REPORT_FILE = "report.html"
_EXHIBITS = 6
_THUMBNAIL = 300  # pixels, of each half


def held_out(cfg: Config) -> Config:
    """``cfg`` with the clips to evaluate on as those of ``[env]``."""
    file, split = cfg.eval.motion_file or cfg.env.motion_file, cfg.eval.split or cfg.env.split
    return replace(cfg, env=replace(cfg.env, motion_file=file, split=split))


def evaluation_library(cfg: Config, robot: Robot, library: MotionLibrary, device: torch.device) -> MotionLibrary:
    """The clips to evaluate on while training: ``library`` itself unless ``[eval]`` names others."""
    other = held_out(cfg)
    if other.env == cfg.env:
        return library
    return make_library(replace(other, env=replace(other.env, shard=False)), robot, device)


def write_page(folder: Path, outcomes: Sequence[Outcome], exhibits: Sequence[Exhibit], note: str, title: str) -> Path:
    """Write the web page of an evaluation into its folder.

    Raises:
        InputError: it cannot be written.
    """
    path = folder / REPORT_FILE
    write_atomic(path, evaluation_page(title, outcomes, exhibits, note))
    return path


def exhibits_of(
    cfg: Config, robot: Robot, evaluator: Evaluator, policy: ActorCritic, results: Sequence[ClipResult], folder: Path
) -> tuple[list[Exhibit], str]:
    """Pictures of the hardest clips, and videos of ``eval.videos`` of them; without OpenGL none, and a note why."""
    if not cfg.eval.video:
        return [], "No pictures: eval.video is off."
    names = evaluator.env.library.names
    chosen = [clip for clip in hardest(results, max(_EXHIBITS, cfg.eval.videos)) if clip.name in names]
    recordings = evaluator.record_all(policy, [names.index(clip.name) for clip in chosen])
    fps = 1.0 / cfg.robot.control_dt
    try:
        pictures = thumbnails(robot, recordings, fps)
        exhibits = []
        for number, (clip, recording, png) in enumerate(zip(chosen, recordings, pictures, strict=True)):
            video = ""
            if number < cfg.eval.videos:
                video = f"videos/{number + 1:02d}_{safe_name(clip.name)}.mp4"
                (folder / "videos").mkdir(exist_ok=True)
                write_video(folder / video, robot, recording, fps, cfg.play.layout)
            exhibits.append(Exhibit(clip.name, _story(clip, cfg.robot.control_dt), png, video))
    except InputError as error:  # no OpenGL here
        return [], f"No pictures: {error}"
    return exhibits, ""


def _story(clip: ClipResult, control_dt: float) -> str:
    error = float(clip.metrics["mpjpe_g"].mean())
    if clip.success:
        return f"followed to its end, {error:.0f} mm"
    played, whole = clip.played_steps * control_dt, clip.frames * control_dt
    return f"lost after {played:.1f} of {whole:.1f} s, {error:.0f} mm until then"


def thumbnails(robot: Robot, recordings: Sequence[Recording], fps: float) -> list[bytes]:
    """A PNG picture of the worst moment of each recording, reference beside simulation.

    Raises:
        InputError: there is no OpenGL.
    """
    from PIL import Image

    pictures = []
    with MotionRenderer(robot.model, _THUMBNAIL, _THUMBNAIL, fps=fps) as renderer:
        for recording in recordings:
            frame = int(recording.error.argmax())
            renderer.reset_camera()
            reference = None if recording.reference is None else recording.reference[frame].numpy()
            pixels = renderer.frame(recording.simulated[frame].numpy(), reference, f"{frame / fps:.1f} s")
            buffer = io.BytesIO()
            # A palette is a third of the size, and the page holds them all.
            Image.fromarray(pixels).quantize(96).save(buffer, format="PNG", optimize=True)
            pictures.append(buffer.getvalue())
    return pictures


def safe_name(name: str) -> str:
    """``name`` as part of a file's name."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)[:100]


def labels_of(files: Sequence[Path]) -> list[str]:
    """Short names that tell checkpoints apart: run folders where they do, else paths from a common folder on."""
    runs = [file.parent.parent.name if file.parent.name == "checkpoints" else file.stem for file in files]
    if len(set(runs)) == len(runs):
        return runs
    if len(set(files)) < len(files):
        raise InputError("--checkpoint", "names the same checkpoint twice", "name each once")
    common = Path(os.path.commonpath([file.absolute().parent for file in files]))
    return [file.absolute().relative_to(common).with_suffix("").as_posix() for file in files]


def write_side_by_side(folder: Path, outcomes: Sequence[Outcome], source: str) -> Path:
    """Write the page of several checkpoints, and ``failed.txt`` with the clips that any of them failed.

    Raises:
        InputError: the folder cannot be written.
    """
    failed = {clip.name: None for outcome in outcomes for clip in outcome.clips if not clip.success}
    write_atomic(folder / FAILED_FILE, "".join(f"{line}\n" for line in lines_of(source, failed)))
    note = f"Pictures and files of each checkpoint: {', '.join(safe_name(outcome.label) for outcome in outcomes)}/"
    return write_page(folder, outcomes, [], note, f"Evaluation of {len(outcomes)} checkpoints")


def announce(console: Console, path: Path) -> None:
    """Say where the page is."""
    console.print(f"report: {path}", soft_wrap=True, highlight=False)
