import re
import runpy
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest
import torch

from poselib.skeleton import Skeleton
from puffer_phc.config import ROOT
from puffer_phc.errors import InputError
from puffer_phc.motions.ground import lowest_point
from puffer_phc.motions.loading import load_motions
from puffer_phc.robots.smpl import smpl_robot
from puffer_phc.viewers import motion_viewer
from puffer_phc.viewers.motion_player import check_speed, choose_clip, make_track, player_for
from puffer_phc.viewers.window import WindowMaker

SAMPLES = ROOT / "sample_data"
SPACE, RIGHT, LEFT, DOWN, UP, FASTER, SLOWER, RESTART = 32, 262, 263, 264, 265, 61, 45, 259


@pytest.fixture(scope="module")
def robot():
    return smpl_robot()


@pytest.fixture(scope="module")
def clips():
    return load_motions(SAMPLES)


def test_poses_are_those_of_the_file_on_the_floor(robot, clips):
    clip = clips[1]
    track = make_track(clip, robot, "off")
    data = mujoco.MjData(robot.model)
    data.qpos[:] = track.qpos(10 / clip.fps)
    mujoco.mj_kinematics(robot.model, data)
    body_pos, _ = robot.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
    np.testing.assert_allclose(data.xpos[1:], body_pos[10].numpy(), atol=1e-6)
    sunk = replace(clip, root_pos=clip.root_pos - 0.3)
    lifted = make_track(sunk, robot, "contact")
    lowest = lowest_point(robot.geoms, *robot.skeleton.forward_kinematics(lifted.root_pos, lifted.local_rot))
    assert -1e-6 < float(lowest.min()) < 0.01


def test_poses_between_frames_are_interpolated_and_outside_held(robot, clips):
    clip = clips[0]
    track = make_track(clip, robot, "off")
    between = track.qpos(0.5 / clip.fps)
    np.testing.assert_allclose(between[:3], clip.root_pos[:2].mean(0).numpy())
    np.testing.assert_allclose(np.linalg.norm(between[3:].reshape(-1, 4), axis=-1), 1.0)
    np.testing.assert_array_equal(track.qpos(-1.0), track.qpos(0.0))
    np.testing.assert_array_equal(track.qpos(1e9), track.qpos(track.duration))


def test_clips_are_chosen_by_name_or_number(clips):
    assert choose_clip(clips, "walk", "x") == choose_clip(clips, "1", "x") == 1
    numbered = [replace(clips[0], name="2"), clips[1], clips[2]]
    assert choose_clip(numbered, "2", "x") == 0  # a name wins
    for wanted in ("3", "-1", "run", ""):
        with pytest.raises(InputError, match="number from 0 to 2") as error:
            choose_clip(clips, wanted, "x")
        assert "\n" not in str(error.value)


def test_keys(robot, clips):
    player = player_for(clips, robot, 0, "off", 1.0)
    player.advance(0.5)
    assert player.seconds == 0.5
    assert player.press(SPACE)
    player.advance(1.0)
    assert player.seconds == 0.5
    assert "paused" in player.status
    assert player.press(RIGHT)
    assert player.seconds == pytest.approx(0.5 + 1 / 30)
    assert player.press(SPACE)
    assert player.press(LEFT)
    assert player.seconds == pytest.approx(0.25 + 1 / 30)
    for key, speed in ((FASTER, 2.0), (SLOWER, 1.0)):
        assert player.press(key)
        assert player.speed == speed
    assert player.press(DOWN)
    assert (player.index, player.seconds, player.track.name) == (2, 0.0, "weight_shift_turn")
    assert player.press(UP)
    assert player.press(LEFT)
    assert (player.index, player.seconds) == (0, 0.0)
    player.advance(player.track.duration)
    player.advance(0.1)
    assert player.seconds == 0.0  # repeated
    player.advance(0.1)
    assert player.press(RESTART)
    assert player.seconds == 0.0
    assert not player.press(ord("Q"))


def test_a_clip_that_does_not_fit_does_not_stop_the_others(robot, clips, caplog):
    torso = replace(clips[1], body_names=("a", "b"), local_rot=clips[1].local_rot[:, :2])
    player = player_for([clips[0], torso], robot, 0, "off", 1.0)
    player.press(UP)
    assert "instead of walk" in player.track.name
    assert "2 bodies" in caplog.text
    with pytest.raises(InputError):
        player_for([torso], robot, 0, "off", 1.0)


def test_foreign_skeletons_are_transferred(robot, clips):
    # The robot's own skeleton under another file's name: the transfer must give back the same motion.
    skeleton = Skeleton(robot.skeleton.names, robot.skeleton.parents, robot.skeleton.offsets)
    foreign = replace(clips[1], skeleton=skeleton)
    track = make_track(foreign, robot, "off")
    assert track.root_pos.shape == clips[1].root_pos.shape
    assert track.qpos(0.0).shape == (robot.model.nq,)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), 1e4])
def test_absurd_speeds(speed):
    with pytest.raises(InputError, match="--speed"):
        check_speed(speed)


def test_video(robot, clips, tmp_path):
    track = make_track(clips[1], robot)
    track = replace(track, root_pos=track.root_pos[:31], local_rot=track.local_rot[:31])  # 1 s
    path = tmp_path / "walk.mp4"
    seen = []
    count = motion_viewer.write_motion_video(path, robot, track, 2.0, 96, 128, lambda *done: seen.append(done))
    assert count == 16  # 0.5 s
    assert seen[-1] == (16, 16)
    told = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "128x96" in told
    assert int(re.findall(r"frame=\s*(\d+)", told)[-1]) == 16


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are named differently")
def test_without_a_display_the_video_is_pointed_to(monkeypatch, robot, clips):
    player = player_for(clips, robot, 0, "off", 1.0)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(InputError, match="--video"):
        motion_viewer.show(robot, player)
    monkeypatch.setenv("DISPLAY", ":987")  # nothing answers there
    with pytest.raises(InputError, match="--video"):
        motion_viewer.show(robot, player)


class FakeWindow:
    """MuJoCo's window for three pictures; presses a key before the second."""

    def __init__(self, data, key_callback):
        self.data, self.press, self.poses = data, key_callback, []
        self.cam = SimpleNamespace()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def close(self):
        pass

    def is_running(self):
        if len(self.poses) == 1:
            self.press(UP)
        return len(self.poses) < 3

    def sync(self):
        self.poses.append(self.data.qpos.copy())


def test_window(monkeypatch, robot, clips):
    windows = []

    def launch_passive(model, data, key_callback, **looks):
        window = FakeWindow(data, key_callback)
        window.lock = lambda: window
        windows.append(window)
        return window

    maker = WindowMaker(SimpleNamespace(launch_passive=launch_passive), "")
    monkeypatch.setattr(motion_viewer, "open_viewer", lambda instead: maker)
    told = []
    motion_viewer.show(robot, player_for(clips, robot, 0, "off", 1.0), told.append)
    assert len(windows[0].poses) == 3
    assert "walk" in told[-1]
    assert np.isfinite(windows[0].poses).all()


def run(monkeypatch, *arguments):
    script = ROOT / "scripts" / "vis_motion_mj.py"
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(script), run_name="__main__")
    return end.value.code


@pytest.mark.parametrize(
    "arguments", [("none.npz",), (SAMPLES, "--clip", "none"), (SAMPLES, "--speed", "0"), (SAMPLES, "--video", "no/x")]
)
def test_script_tells_bad_input_in_one_line(monkeypatch, tmp_path, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_identity_pose_has_a_track(robot):
    rot = torch.zeros(5, 24, 4, dtype=torch.float64)
    rot[..., 0] = 1.0
    clip = replace(load_motions(SAMPLES / "walk.npz")[0], root_pos=torch.ones(5, 3).double(), local_rot=rot)
    assert make_track(clip, robot, "first_frames").duration == pytest.approx(4 / 30)
