"""The choice of an OpenGL backend that works without a screen.

MuJoCo reads ``MUJOCO_GL`` when it is imported, and a failed OpenGL import cannot be undone in the same process
(PyOpenGL keeps the platform it was first loaded with). So each candidate is tried in a child process, and contexts are
made from the chosen backend's own module, which works even where ``mujoco`` was imported before the choice.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import subprocess
import sys
from typing import Protocol

from puffer_phc.errors import InputError

_VARIABLE = "MUJOCO_GL"
_PROBE_TIMEOUT = 60.0  # s: a cold import of MuJoCo and the first shader compilation on a busy machine
_OFF = ("disable", "disabled", "off", "false", "0")
_ANY = ("", "enable", "enabled", "on", "true", "1")
_MODULES = {"egl": "mujoco.egl", "osmesa": "mujoco.osmesa", "glfw": "mujoco.glfw", "cgl": "mujoco.cgl"}
_ALIASES = {"glx": "glfw", "wgl": "glfw"}

_REMEDY = (
    "install a software OpenGL (Debian: apt-get install libegl1 libgl1, which bring libegl-mesa0 and libgl1-mesa-dri, "
    "for EGL; or libosmesa6 for OSMesa), or set MUJOCO_GL to a backend that works"
)

_PROBE = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 32, 32)
renderer.update_scene(data)
image = renderer.render()
renderer.close()
assert image.max() > image.min(), "the picture is empty"
"""


class GLContext(Protocol):
    """An off-screen OpenGL context, as MuJoCo's backends make it."""

    def make_current(self) -> None:
        """Make this the calling thread's context."""

    def free(self) -> None:
        """Release the context."""


def choose_backend() -> str:
    """The backend to render with: ``egl``, ``osmesa``, ``glfw`` or ``cgl``; also exported as ``MUJOCO_GL``.

    What the user set is kept untested. Otherwise it is the first that draws a picture in a child process: EGL, then
    OSMesa, then GLFW where there is a display. The answer is kept for the life of the process.

    Raises:
        InputError: rendering is switched off, the name is unknown, or nothing works; names the packages to install.
    """
    asked = os.environ.get(_VARIABLE, "").strip().lower()
    if asked in _OFF:
        raise InputError(_VARIABLE, f"is {asked!r}, which switches rendering off", "unset it or set it to egl")
    if asked not in _ANY:
        backend = _ALIASES.get(asked, asked)
        if backend not in _MODULES:
            raise InputError(_VARIABLE, f"{asked!r} is no backend", f"set it to one of {', '.join(_MODULES)}")
        return backend
    backend = _first_working()
    os.environ[_VARIABLE] = backend
    return backend


def make_context(width: int, height: int) -> GLContext:
    """An off-screen context of at least ``width`` x ``height`` pixels, made current in the calling thread.

    Raises:
        InputError: no backend works, or the one the user named does not.
    """
    backend = choose_backend()
    _load_triton()
    try:
        context: GLContext = importlib.import_module(_MODULES[backend]).GLContext(width, height)
        context.make_current()
        if backend == "glfw" and not importlib.import_module("glfw").get_current_context():
            raise RuntimeError("GLFW opens no window, is there a display?")  # it only warns; MuJoCo would crash
    # Missing libraries surface as almost anything: ImportError, AttributeError on a null library, GLError.
    except Exception as error:
        raise InputError(_VARIABLE, f"{backend} gives no OpenGL context ({error})", _REMEDY) from error
    return context


@functools.cache
def _first_working() -> str:
    failures: list[str] = []
    for backend in _candidates():
        failure = _try_backend(backend)
        if failure is None:
            return backend
        failures.append(f"{backend}: {failure}")
    raise InputError("OpenGL", f"no backend works without a screen ({', '.join(failures)})", _REMEDY)


def _candidates() -> tuple[str, ...]:
    if sys.platform == "darwin":
        return ("cgl", "glfw")
    if sys.platform == "win32":
        return ("glfw",)
    has_display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return ("egl", "osmesa", "glfw") if has_display else ("egl", "osmesa")


def _try_backend(backend: str) -> str | None:
    """None when ``backend`` draws a picture in a child process, else the last line of what went wrong."""
    try:
        child = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env={**os.environ, _VARIABLE: backend},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no picture after {_PROBE_TIMEOUT:.0f} s"
    if child.returncode == 0:
        return None
    lines = [line for line in child.stderr.splitlines() if line.strip() and not line.startswith(" ")]
    return lines[-1].strip() if lines else f"exit status {child.returncode}"


def _load_triton() -> None:
    """Load Triton's compiler before OpenGL, if it is there.

    Software OpenGL brings its own LLVM, after which loading Triton's (torch does when an optimiser is made) crashes the
    process; the other order is sound.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("triton")
