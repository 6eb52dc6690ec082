import ctypes.util
import os
import re
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import pytest
import torch

from puffer_phc.errors import InputError
from puffer_phc.viewers import gl
from puffer_phc.viewers.video import VideoWriter


def gradient(step, height=48, width=64):
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[..., 0] = np.linspace(0, 255, width)
    picture[..., 1] = 10 * step
    return picture


def probe(path):
    """ffmpeg's own description of the file, after decoding all of it, and its decoded frame count."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    told = subprocess.run([ffmpeg, "-i", str(path), "-f", "null", "-"], capture_output=True, text=True, check=True)
    return told.stderr, int(re.findall(r"frame=\s*(\d+)", told.stderr)[-1])


def test_video_is_playable_everywhere(tmp_path):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, fps=25) as video:
        for step in range(10):
            video.write(gradient(step))
        assert not path.exists()  # only a finished file carries the name
    told, frames = probe(path)
    assert (frames, video.frames) == (10, 10)
    assert "h264" in told
    assert "yuv420p" in told
    assert "64x48" in told
    assert "25 fps" in told
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart: the index comes before the pictures
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_pictures_survive_encoding(tmp_path):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, quality=10) as video:
        video.write(gradient(5))
    reader = imageio_ffmpeg.read_frames(str(path))
    size = next(reader)["source_size"]
    picture = np.frombuffer(next(reader), dtype=np.uint8).reshape(size[1], size[0], 3)
    reader.close()
    assert np.abs(picture.astype(int) - gradient(5)).mean() < 6


def test_odd_sizes_are_padded(tmp_path):
    with VideoWriter(tmp_path / "odd.mp4") as video:
        video.write(np.ascontiguousarray(gradient(0, 47, 63))[:, ::-1])  # a view, too
    assert "64x48" in probe(tmp_path / "odd.mp4")[0]


def test_an_exception_leaves_the_old_file(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), VideoWriter(path) as video:  # noqa: PT012 - the block is what is tested
        video.write(gradient(0))
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_fault_of_ffmpeg_is_one_line(tmp_path):
    video = VideoWriter(tmp_path / "clip.mp4", preset="no-such-preset")
    with pytest.raises(InputError, match="ffmpeg failed") as caught:  # noqa: PT012 - the pipe breaks at some frame
        for step in range(2000):
            video.write(gradient(step % 25))
        video.close()
    assert "no-such-preset" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_misuse_is_told(tmp_path):
    with pytest.raises(InputError, match="folder does not exist"):
        VideoWriter(tmp_path / "missing" / "clip.mp4")
    with pytest.raises(InputError, match="is a folder"):
        VideoWriter(tmp_path)
    with pytest.raises(InputError, match="not a frame rate"):
        VideoWriter(tmp_path / "clip.mp4", fps=0)
    with pytest.raises(InputError, match="no frame"), VideoWriter(tmp_path / "clip.mp4"):
        pass
    with pytest.raises(ValueError, match="uint8"), VideoWriter(tmp_path / "clip.mp4") as video:
        video.write(gradient(0).astype(float))
    with VideoWriter(tmp_path / "clip.mp4") as video:
        video.write(gradient(0))
        with pytest.raises(ValueError, match="in a video of"):
            video.write(gradient(0, width=32))
    (tmp_path / "clip.mp4").unlink()
    assert not list(tmp_path.iterdir())


def test_closing_twice_is_harmless_and_ends_writing(tmp_path):
    video = VideoWriter(tmp_path / "clip.mp4")
    video.write(gradient(0))
    video.close()
    video.close()
    with pytest.raises(ValueError, match="closed"):
        video.write(gradient(1))
    assert (tmp_path / "clip.mp4").exists()


@pytest.fixture
def fresh_choice(monkeypatch):
    # Set and delete, so that the variable's state before the test comes back whatever choose_backend writes.
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.delenv("MUJOCO_GL")
    gl._first_working.cache_clear()
    yield monkeypatch
    gl._first_working.cache_clear()


def test_backend_set_by_the_user_is_kept(fresh_choice):
    fresh_choice.setattr(gl, "_try_backend", lambda name: pytest.fail("tried in spite of the choice"))
    for asked, expected in (("osmesa", "osmesa"), ("EGL", "egl"), ("glx", "glfw")):
        fresh_choice.setenv("MUJOCO_GL", asked)
        assert gl.choose_backend() == expected


@pytest.mark.parametrize(("asked", "words"), [("off", "switches rendering off"), ("vulkan", "is no backend")])
def test_backend_that_cannot_be_is_told(fresh_choice, asked, words):
    fresh_choice.setenv("MUJOCO_GL", asked)
    with pytest.raises(InputError, match=words):
        gl.choose_backend()


@pytest.mark.skipif(sys.platform != "linux", reason="the order is that of Linux")
def test_backends_are_tried_in_order_once(fresh_choice):
    tried = []
    fresh_choice.delenv("DISPLAY", raising=False)
    fresh_choice.delenv("WAYLAND_DISPLAY", raising=False)
    fresh_choice.setattr(gl, "_try_backend", lambda name: tried.append(name) or ("no" if name == "egl" else None))
    assert gl.choose_backend() == gl.choose_backend() == "osmesa"
    assert tried == ["egl", "osmesa"]


@pytest.mark.skipif(sys.platform != "linux", reason="the packages are those of Debian")
def test_no_backend_names_the_packages(fresh_choice):
    fresh_choice.delenv("DISPLAY", raising=False)
    fresh_choice.delenv("WAYLAND_DISPLAY", raising=False)
    fresh_choice.setattr(gl, "_try_backend", lambda name: f"no {name} library")
    with pytest.raises(InputError, match=r"egl: no egl library, osmesa.*libegl1 libgl1.*libosmesa6"):
        gl.choose_backend()


def test_osmesa_and_an_optimiser_live_in_one_process():
    """Asked for by name, OSMesa comes with MuJoCo and its LLVM before Triton's, which torch's optimisers load."""
    if not ctypes.util.find_library("OSMesa"):
        pytest.skip("libOSMesa is not installed (apt-get install libosmesa6)")
    program = (
        "import puffer_phc, mujoco, torch; torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))]);"
        "from puffer_phc.viewers.gl import make_context; make_context(32, 32); print('both')"
    )
    environment = {**os.environ, "MUJOCO_GL": "osmesa"}
    environment.pop("PYOPENGL_PLATFORM", None)  # which EGL leaves behind in this process
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "both"), done.stderr


def test_a_failing_child_is_described(monkeypatch):
    monkeypatch.setattr(gl, "_PROBE", "raise OSError('libEGL.so.1 is missing')")
    assert gl._try_backend("egl") == "OSError: libEGL.so.1 is missing"
    monkeypatch.setattr(gl, "_PROBE", "import os; os._exit(7)")
    assert gl._try_backend("egl") == "exit status 7"


MODEL = """
<mujoco>
  <visual><map shadowclip="1"/></visual>
  <worldbody>
    <light type="directional" pos="0 0 4" dir="0 0 -1"/>
    <geom type="plane" size="0 0 1" rgba=".7 .7 .7 1"/>
    <body name="root" pos="0 0 1">
      <freejoint/>
      <geom type="capsule" fromto="0 0 -.3 0 0 .3" size=".15"/>
      <body pos="0 0 .5"><joint type="ball"/><geom size=".2"/></body>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture(scope="module")
def backend():
    try:
        gl.make_context(8, 8).free()
    except InputError as error:
        pytest.skip(f"no OpenGL on this machine: {error}")


@pytest.fixture
def render(backend):
    import mujoco

    from puffer_phc.viewers.render import MotionRenderer

    model = mujoco.MjModel.from_xml_string(MODEL)
    with MotionRenderer(model, height=120, width=160, distance=4.0) as renderer:
        yield renderer, model.qpos0.copy()
    renderer.close()  # twice is harmless
    with pytest.raises(ValueError, match="closed"):
        renderer.frame(model.qpos0, model.qpos0)


def coloured(picture, channel):
    """Where a picture is clearly redder (0) or bluer (2) than the other way round; below the labels."""
    difference = picture[..., channel].astype(int) - picture[..., 2 - channel]
    return difference[24:] > 60


def test_halves_show_both_bodies_in_their_colours(render):
    renderer, qpos = render
    picture = renderer.frame(qpos, qpos)
    assert picture.shape == (120, 320, 3)
    assert picture.dtype == np.uint8
    left, right = picture[:, :160], picture[:, 160:]
    assert coloured(left, 0).sum() > 200
    assert coloured(left, 2).sum() == 0
    assert coloured(right, 2).sum() > 200
    assert coloured(right, 0).sum() == 0


def test_pose_is_upright_and_caption_is_drawn(render):
    renderer, qpos = render
    plain = renderer.frame(qpos, qpos)
    rows = np.flatnonzero(coloured(plain[:, :160], 0).any(axis=1))
    widths = coloured(plain[:, :160], 0).sum(axis=1)
    assert widths[rows[: len(rows) // 3]].max() > widths[rows[-len(rows) // 3 :]].max()  # the head is the thick end
    captioned = renderer.frame(qpos, qpos, "error 12 mm " * 40)  # too long: cut, not an error
    changed = np.flatnonzero((captioned != plain).any(axis=(1, 2)))
    assert changed.min() >= 120 - 2 * 8  # the band at the bottom only: two lines of the smallest text
    change = captioned[104:].astype(int) - plain[104:]
    assert change.max() > 30  # light letters
    assert change.min() < -50  # on a dark band


def test_camera_follows_slowly_and_cuts_on_a_jump(render):
    renderer, qpos = render
    centres = []
    for step in range(40):
        moved = qpos.copy()
        moved[0] += min(step, 10) * 0.05
        centres.append(np.flatnonzero(coloured(renderer.frame(moved, qpos)[:, 160:], 2).any(axis=0)).mean())
    assert abs(centres[10] - centres[0]) > 2  # lags behind while it walks
    assert abs(centres[-1] - centres[0]) < 2  # and catches up
    far = qpos.copy()
    far[:2] += 50.0
    centre = np.flatnonzero(coloured(renderer.frame(far, qpos)[:, 160:], 2).any(axis=0)).mean()
    assert abs(centre - centres[0]) < 2


def test_shadow_travels_with_the_body(render):
    renderer, qpos = render
    far = qpos.copy()
    far[:2] += 50.0
    near_picture = renderer.frame(qpos, qpos).astype(int)
    renderer.reset_camera()
    far_picture = renderer.frame(far, far).astype(int)
    assert np.abs(near_picture - far_picture).mean() < 2


def test_overlay_shows_the_body_and_a_ghost_where_it_should_be(backend):
    import mujoco

    from puffer_phc.viewers.render import MotionRenderer

    model = mujoco.MjModel.from_xml_string(MODEL)
    aside = model.qpos0.copy()
    aside[:2] += [-0.4, -0.33]  # to the left in the picture
    with MotionRenderer(model, height=120, width=160, layout="overlay", distance=4.0) as renderer:
        alone = renderer.frame(model.qpos0, None)
        both = renderer.frame(model.qpos0, aside)
        with pytest.raises(ValueError, match="pose of this model"):
            renderer.frame(model.qpos0, aside[:-1])
    assert alone.shape == both.shape == (120, 160, 3)
    assert coloured(alone, 2).sum() > 200
    assert coloured(alone, 0).sum() == 0
    body, ghost = coloured(both, 2), both[24:, :, 0].astype(int) - both[24:, :, 2] > 20
    assert ghost.sum() > 200
    assert np.flatnonzero(ghost.any(axis=0)).mean() < np.flatnonzero(body.any(axis=0)).mean() - 5
    assert coloured(both, 0).sum() < ghost.sum() / 2  # translucent: the floor is seen through it


def test_wrong_pose_and_model_are_told(render):
    import mujoco

    from puffer_phc.viewers.render import MotionRenderer

    renderer, qpos = render
    with pytest.raises(ValueError, match="pose of this model"):
        renderer.frame(qpos[:-1], qpos)
    with pytest.raises(ValueError, match="needs a reference"):
        renderer.frame(qpos, None)
    fixed = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
    with pytest.raises(InputError, match="free joint"):
        MotionRenderer(fixed)


def recording(world, steps, reference=True):
    from puffer_phc.evaluation.evaluator import Recording

    poses = torch.from_numpy(np.tile(world[0].model.qpos0, (steps, 1)))
    return Recording("a clip", poses, poses if reference else None, torch.zeros(steps if reference else 0), True)


@pytest.mark.parametrize(
    ("layout", "reference", "fps", "size", "frames"),
    [
        ("side", True, 30.0, "852x480", 4),
        ("overlay", True, 30.0, "852x480", 4),
        ("side", False, 30.0, "852x480", 4),  # nothing to put beside it
        ("overlay", True, 60.0, "852x480, .* 30 fps", 2),
    ],
)
def test_recordings_become_videos(backend, world, tmp_path, layout, reference, fps, size, frames):
    from puffer_phc.viewers.play import write_video

    done = []
    played = recording(world, 4, reference)
    path = write_video(tmp_path / "clip.mp4", world[0], played, fps, layout, lambda *step: done.append(step))
    told, count = probe(path)
    assert count == frames
    assert re.search(size, told)
    assert done[-1] == (frames, frames)
