"""The window of MuJoCo, on a virtual screen with software OpenGL, in a process of its own."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from puffer_phc.errors import InputError
from puffer_phc.viewers.live import opener
from puffer_phc.viewers.native import KeyedPlayer
from puffer_phc.viewers.options import PlayConfig

SPACE, MINUS, EQUAL, J, K, R, RIGHT, LEFT, DOWN, UP = 32, 45, 61, 74, 75, 82, 262, 263, 264, 265
CHILD = """
import contextlib, queue, sys, threading, time
from PIL import ImageGrab
from puffer_phc.cli import main
from puffer_phc.viewers.window import WindowMaker

opened, open_window = queue.Queue(), WindowMaker.open

@contextlib.contextmanager
def open_and_tell(maker, model, data, pressed):
    with open_window(maker, model, data, pressed) as window:
        opened.put((window, pressed))
        yield window

def person(picture):
    window, press = opened.get()
    time.sleep(1.5)
    ImageGrab.grab(xdisplay="").save(picture)
    for key in (74, 75, 75, 32, 262):
        press(key)
        time.sleep(0.1)
    time.sleep(0.3)
    window.close()

WindowMaker.open = open_and_tell
threading.Thread(target=person, args=sys.argv[1:2], daemon=True).start()
sys.exit(main(sys.argv[2:]))
"""


def test_keys(make_session):
    session = make_session()
    player = KeyedPlayer(session)
    for _ in range(20):
        session.step()
    assert player.press(LEFT)
    assert session.now == 5  # half a second back
    assert player.press(SPACE)
    assert not player.playing
    assert player.press(RIGHT)
    assert session.now == 6
    assert player.press(LEFT)
    assert session.now == 5
    assert "paused" in player.status
    assert "squat_and_wave (0.17 of 5.60 s, error" in player.status
    for key, speed in ((EQUAL, 2.0), (MINUS, 1.0), (MINUS, 0.5)):
        assert player.press(key)
        assert player.speed == speed
    before = session.shown.state.root_vel[0]
    assert player.press(J)
    pushed = session.env.simulator.bodies.vel[0, 0] - before
    assert float(pushed.norm()) == pytest.approx(1.0, abs=1e-3)
    assert player.press(R)
    assert session.now == 0
    assert player.press(UP)
    assert session.clip == 1
    assert player.press(DOWN)
    assert session.clip == 0
    assert player.press(K)
    assert not player.ghost
    assert not player.press(ord("Q"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are named differently")
def test_without_a_display_the_other_viewers_are_pointed_to(monkeypatch):
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(InputError, match=r"DISPLAY.*--viewer web or --viewer video") as error:
        opener(PlayConfig(viewer="mujoco"))
    assert "\n" not in str(error.value)


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="there is no virtual screen (apt-get install xvfb xauth)")
@pytest.mark.timeout(240)
def test_a_window_shows_the_humanoid_and_its_ghost(run_folder, tmp_path):
    picture = tmp_path / "window.png"
    command = ["xvfb-run", "-a", "-s", "-screen 0 480x360x24", sys.executable, "-c", CHILD, str(picture)]
    command += ["--mode", "play", "--viewer", "mujoco", "-c", str(run_folder), "--device", "cpu", "--threads", "1"]
    environment = {**os.environ, "LIBGL_ALWAYS_SOFTWARE": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("WAYLAND_DISPLAY", None)
    child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert child.returncode == 0, child.stderr
    assert "space: pause" in child.stdout
    assert ", paused" in child.stdout.splitlines()[-1]
    assert not child.stderr
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    blue_less_red = pixels[..., 2] - pixels[..., 0]
    assert (blue_less_red > 60).sum() > 300  # the simulation
