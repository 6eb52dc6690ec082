"""The page in a real browser: Chromium without a screen, with software WebGL."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from puffer_phc.config import ROOT
from puffer_phc.errors import InputError

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
]
PATIENCE = 60_000  # ms: software WebGL on a busy machine


@contextmanager
def server(run_folder):
    """The program with a web viewer: its process and the address it prints."""
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--mode", "play", "--viewer", "web"]
    command += ["-c", str(run_folder), "--play.port", "0", "--device", "cpu", "--threads", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("DISPLAY", None)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            first = process.stdout.readline()
            yield process, re.search(r"http://127\.0\.0\.1:\d+", first)[0]
        finally:
            process.kill()


@contextmanager
def browser_page(address, faults):
    """The page once its panel is there; what the browser complains about goes to ``faults``."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 640, "height": 480})
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        page.get_by_role("button", name="Pause").wait_for()
        yield page, playwright.expect
        browser.close()


def status(page):
    """Clip, its time in s and the error in mm, as the page tells them; None for an error that it does not tell."""
    text = page.locator("p", has_text=re.compile(r"\d of [\d.]+ s")).inner_text()
    found = re.search(r"(.+?)\s+([\d.]+) of [\d.]+ s(?:.*error (\d+) mm)?", text, re.DOTALL)
    return found[1], float(found[2]), found[3] and int(found[3])


def wait_for(page, wish):
    """Ask for the status until ``wish`` of it is true."""
    for _ in range(PATIENCE // 50):
        if wish(*status(page)):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never came: {status(page)}")


def choose(page, label, option):
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).dispatch_event("click")  # wherever the list hangs


def number_of(page, label):
    """The number beside a slider."""
    return page.locator("label", has_text=label).locator("xpath=following::input[@inputmode='decimal'][1]")


def scrub_to(page, seconds):
    """Type a time, which pauses; again if the running clock has just overwritten what was typed, or half of it."""
    play = page.get_by_role("button", name="Play")
    for _ in range(10):
        number_of(page, "time, s").fill(seconds)
        number_of(page, "time, s").press("Enter")
        for _ in range(60):
            if play.is_visible() and status(page)[1] == float(seconds):
                return
            page.wait_for_timeout(50)
    pytest.fail(f"the time stays what it is: {status(page)}")


@pytest.mark.timeout(300)
def test_a_policy_is_played_with_in_a_browser(run_folder, artefacts):
    faults = []
    with server(run_folder) as (process, address):
        with browser_page(address, faults) as (page, expect):
            wait_for(page, lambda clip, seconds, error: clip == "squat_and_wave" and seconds > 0.2)

            choose(page, "clip", "1: walk")
            wait_for(page, lambda clip, seconds, error: clip == "walk")

            scrub_to(page, "3")
            wait_for(page, lambda clip, seconds, error: seconds == 3.0)
            page.get_by_text("Step", exact=True).click()
            wait_for(page, lambda clip, seconds, error: seconds == pytest.approx(3.03))

            # In this clip a humanoid that learnt nothing stays within 70 mm, unless it is thrown into the air.
            choose(page, "clip", "0: squat_and_wave")
            wait_for(page, lambda clip, seconds, error: clip == "squat_and_wave" and error is not None and error < 100)
            choose(page, "direction", "from below")
            number_of(page, "strength").fill("5")
            number_of(page, "strength").press("Enter")
            page.get_by_role("button", name="Push").click()
            wait_for(page, lambda clip, seconds, error: error is not None and error > 300)

            choose(page, "checkpoint", "dog.pt")
            expect(page.get_by_text("is for robot 'dog'")).to_be_visible()
            expect(page.get_by_label("checkpoint", exact=True)).to_have_value("best.pt")
            choose(page, "checkpoint", "later.pt")
            expect(page.get_by_text("Loaded")).to_be_visible()

            page.get_by_text("Restart", exact=True).click()
            wait_for(page, lambda clip, seconds, error: seconds < 3.0)
            page.get_by_role("button", name="Pause").click()
            page.set_viewport_size({"width": 1000, "height": 700})  # small until now: drawing it takes the time
            page.wait_for_timeout(500)
            picture = page.screenshot(path=artefacts / "web_viewer.png")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert "Traceback" not in process.stdout.read()
    assert faults == []
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)[:, :660]  # left of the panel
    assert ((pixels[..., 2] - pixels[..., 0]) > 40).sum() > 500  # the blue simulation
    assert (np.abs(pixels - pixels[0, 0]).sum(-1) < 20).mean() < 0.9  # a floor, too


def test_it_answers_on_this_machine_only_unless_told_otherwise(make_session, run_folder):
    web = pytest.importorskip("puffer_phc.viewers.web")
    with web._server("127.0.0.1", 0) as server:
        port = server.get_port()
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=20).status == 200
        with web._server("127.0.0.1", port) as second:
            assert second.get_port() > port  # the next free one
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(InputError, match=r"--play\.host"), web._server(host, 0):
            pass


def test_pushes_come_from_where_they_say(world):
    web = pytest.importorskip("puffer_phc.viewers.web")
    half = 2**-0.5
    facing_y = torch.tensor([[half, 0.0, 0.0, half], [1.0, 0.0, 0.0, 0.0]])
    for direction, expected in {
        "from behind": [[0.0, 2.0, 0.0], [2.0, 0.0, 0.0]],
        "from the left": [[2.0, 0.0, 0.0], [0.0, -2.0, 0.0]],
        "from below": [[0.0, 0.0, 2.0], [0.0, 0.0, 2.0]],
    }.items():
        velocity = web.push_velocity(facing_y, 2.0, direction)
        torch.testing.assert_close(velocity, torch.tensor(expected), atol=1e-6, rtol=0)


def test_every_shape_is_where_mujoco_has_it(world):
    shapes = pytest.importorskip("puffer_phc.viewers.shapes")
    import mujoco

    robot, _ = world
    meshes = shapes.body_meshes(robot)
    assert [mesh.name for mesh in meshes] == list(robot.body_names)
    for mesh in meshes:
        geom = int(np.flatnonzero(robot.model.geom_bodyid == mesh.body + 1)[0])
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, robot.model.geom_quat[geom])
        local = (mesh.vertices - robot.model.geom_pos[geom]) @ rotation.reshape(3, 3)
        size, kind = robot.model.geom_size[geom], robot.model.geom_type[geom]
        reach = {
            mujoco.mjtGeom.mjGEOM_SPHERE.value: [size[0]] * 3,
            mujoco.mjtGeom.mjGEOM_CAPSULE.value: [size[0], size[0], size[0] + size[1]],
            mujoco.mjtGeom.mjGEOM_BOX.value: list(size),
        }[int(kind)]
        np.testing.assert_allclose(np.abs(local).max(0), reach, rtol=0.03, atol=1e-5)


def test_meshes_and_other_shapes_are_drawn_and_hidden_ones_left_out():
    shapes = pytest.importorskip("puffer_phc.viewers.shapes")
    from types import SimpleNamespace

    import mujoco

    model = mujoco.MjModel.from_xml_string(
        """<mujoco><asset><mesh name="wedge" vertex="0 0 0  1 0 0  0 1 0  0 0 1"/></asset><worldbody>
        <body name="a"><freejoint/><geom type="mesh" mesh="wedge"/><geom size="9" group="3"/></body>
        <body name="b"><freejoint/><geom type="cylinder" size=".1 .4"/><geom type="ellipsoid" size=".1 .2 .9"/></body>
        <body name="c"><freejoint/><inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/></body>
        </worldbody></mujoco>"""
    )
    meshes = shapes.body_meshes(SimpleNamespace(model=model, body_names=("a", "b", "c")))
    assert [mesh.name for mesh in meshes] == ["a", "b"]
    wedge, round_ones = meshes
    np.testing.assert_allclose(wedge.vertices.min(0), 0.0, atol=1e-6)
    np.testing.assert_allclose(wedge.vertices.max(0), 1.0, atol=1e-6)
    np.testing.assert_allclose(round_ones.vertices.max(0), [0.1, 0.2, 0.9], rtol=0.05)
