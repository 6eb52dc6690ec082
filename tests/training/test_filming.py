"""Videos while a policy trains, in the background."""

from dataclasses import replace

import imageio_ffmpeg
import pytest
import torch

from puffer_phc.cli import main
from puffer_phc.errors import InputError
from puffer_phc.evaluation.evaluator import Recording
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.synthesis import save_amass
from puffer_phc.training.filming import Filmer
from puffer_phc.viewers import gl


@pytest.fixture(scope="module", autouse=True)
def _opengl():
    try:
        gl.choose_backend()
    except InputError as error:
        pytest.skip(f"no OpenGL on this machine: {error}")


def frames(path):
    return imageio_ffmpeg.count_frames_and_secs(str(path))[0]


def test_one_recording_after_the_other_becomes_a_video(robot, tmp_path):
    qpos = torch.tensor(robot.model.qpos0).expand(4, -1)
    filmer = Filmer(tmp_path / "videos", robot, 1 / 30, "side")
    assert filmer.close() == filmer.finished() == []
    path = filmer.start(Recording("a b/c", qpos, qpos, torch.zeros(4), True), 17)
    assert filmer.busy
    assert filmer.finished() == []  # not yet
    assert filmer.close() == [path]
    assert path.name == "step_000000000017_a_b_c.mp4"
    assert frames(path) == 4
    assert filmer.finished() == []  # told once


def test_a_run_is_filmed_while_it_trains(train_command, walk, tmp_path):
    clip = load_motions(walk)[0]
    save_amass(tmp_path / "walk.npz", replace(clip, root_pos=clip.root_pos[:9], local_rot=clip.local_rot[:9]))
    flags = ["--env.motion_file", str(tmp_path / "walk.npz")]
    flags += ["--output", str(tmp_path), "--name", "run", "--eval.video", "true", "--eval.video_interval", "0.001"]
    assert main([*train_command[2:], "--train.total_steps", "128", "--dashboard", "false", *flags]) == 0
    videos = sorted((tmp_path / "run" / "videos").glob("step_*.mp4"))
    assert videos[0].name == "step_000000000064_walk.mp4"  # after the first rollout; the next one finds it busy
    assert frames(videos[0]) > 1
