"""A page to play with a policy: choose clips, go back in time, push the humanoid, change the weights."""

from __future__ import annotations

import contextlib
import io
import math
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import viser
from torch import Tensor

from poselib.rotations import heading_quat, quat_rotate
from puffer_phc.errors import InputError
from puffer_phc.viewers.session import Pacer, PlaySession
from puffer_phc.viewers.web_scene import Stage
from puffer_phc.viewers.weights import Shelf

_PICTURE = 1 / 30  # s between pictures
_PLOT = 0.2  # s between updates of the plots, the slider and the numbers
_PLOT_HEIGHT = 120  # pixels
_SHELF = 2.0  # s between looks at the checkpoint folder
_IDLE = 0.1  # s between looks for a visitor
_LISTED = 500  # clips that a list to choose from can hold without slowing the page down

_SPEEDS = {"1/10": 0.1, "1/4": 0.25, "1/2": 0.5, "1": 1.0, "2": 2.0, "4": 4.0}
_DIRECTIONS = {
    "from behind": (1.0, 0.0, 0.0),
    "from the front": (-1.0, 0.0, 0.0),
    "from the left": (0.0, -1.0, 0.0),
    "from the right": (0.0, 1.0, 0.0),
    "from below": (0.0, 0.0, 1.0),
}
"""Pushes in the frame of the humanoid's heading: x ahead, y to its left, z up."""


def serve(session: PlaySession, shelf: Shelf, tell: Callable[[str], None], host: str, port: int) -> None:
    """Show ``session`` on a web page until the program is interrupted (Ctrl-C) or told to end (SIGTERM).

    Everything that touches the simulation happens in the calling thread; the page's threads only leave wishes.
    Nothing is simulated while nobody looks.

    Args:
        session: what is shown.
        shelf: checkpoints to choose from.
        tell: gets the page's address.
        host: address to serve on.
        port: port, or the next free one after it; 0 for any.

    Raises:
        InputError: the address is none of this machine's.
    """
    with _signals() as asked_to_end, _server(host, port) as server:
        page = Page(server, session, shelf)
        tell(f"http://{host}:{server.get_port()}")
        while not asked_to_end.is_set():
            page.work()


class Page:
    """The panel of the page and what its elements do."""

    def __init__(self, server: viser.ViserServer, session: PlaySession, shelf: Shelf) -> None:
        self._server, self._session, self._shelf = server, session, shelf
        self._stage = Stage(server, session.env.robot, session.env.num_envs)
        self._pacer = Pacer(session.env.control_dt)
        self._wishes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._playing, self._speed = True, 1.0
        self._last = self._next_picture = self._next_plot = self._next_shelf = 0.0
        server.gui.configure_theme(show_logo=False, show_share_button=False, control_width="medium")
        server.gui.set_panel_label("puffer-phc")
        self._status = server.gui.add_markdown("")
        with server.gui.add_folder("Clip"):
            self._add_clip_controls()
        with server.gui.add_folder("Push"):
            self._add_push_controls()
        with server.gui.add_folder("Policy"):
            self._add_policy_controls()
        with server.gui.add_folder("View"):
            self._add_view_controls()
        with server.gui.add_folder("Live"):
            self._error_plot = _plot(server, "mean error, mm", "#3d80d1")
            self._reward_plot = _plot(server, "reward", "#2f9e44")
        self._lay_out()

    # -- the loop --------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Fulfil wishes, simulate what is due, draw, and sleep until the next picture."""
        if not self._server.get_clients():
            self._last = 0.0
            time.sleep(_IDLE)
            return
        now = time.perf_counter()
        elapsed, self._last = (now - self._last if self._last else 0.0), now
        while not self._wishes.empty():
            self._fulfil(self._wishes.get())
        if self._playing:
            for _ in range(self._pacer.due(elapsed, self._speed)):
                self._session.step()
        self._stage.draw(self._session.shown.state, self._session.reference(), elapsed)
        if now >= self._next_plot:
            self._next_plot = now + _PLOT
            self._report()
        if now >= self._next_shelf:
            self._next_shelf = now + _SHELF
            self._policies.options = self._shelf.names()
        self._next_picture = max(self._next_picture + _PICTURE, now)
        time.sleep(max(0.0, self._next_picture - time.perf_counter()))

    def _fulfil(self, wish: Callable[[], None]) -> None:
        try:
            wish()
        except InputError as error:
            self._say("Not possible", str(error), "red")

    def _say(self, title: str, body: str, colour: Any) -> None:
        for client in self._server.get_clients().values():
            client.add_notification(title, body, color=colour, auto_close_seconds=12.0)

    def _report(self) -> None:
        """Bring numbers, slider and plots up to date."""
        session, dt = self._session, self._session.env.control_dt
        seconds = session.now * dt
        self._time.max = math.ceil(100 * session.last_step * dt) / 100
        if abs(self._time.value - seconds) >= dt:  # else the page would get its own numbers back, rounded
            self._time.value = min(seconds, self._time.max)
        error, reward = float(session.shown.error[0]), float(session.shown.reward[0])
        parts = [f"**{session.names[session.clip]}** {seconds:.2f} of {session.last_step * dt:.2f} s"]
        if not math.isnan(error):
            parts.append(f"error {1e3 * error:.0f} mm")
        if not math.isnan(reward):
            parts.append(f"reward {reward:.2f}")
        self._status.content = " · ".join(parts)
        trace = np.array(session.trace).reshape(-1, 2)
        ago = (np.arange(len(trace)) - len(trace) + 1) * dt
        for plot, values in ((self._error_plot, 1e3 * trace[:, 0]), (self._reward_plot, trace[:, 1])):
            known = np.isfinite(values)
            plot.visible = bool(known.any())
            if plot.visible:
                plot.data = (ago[known], values[known])

    # -- the panel -------------------------------------------------------------------------------------------------

    def _add_clip_controls(self) -> None:
        gui, names = self._server.gui, self._session.names
        if len(names) <= _LISTED:
            labels = [f"{index}: {name}" for index, name in enumerate(names)]
            clips = gui.add_dropdown("clip", labels, initial_value=labels[self._session.clip])
            self._on(clips, lambda label: self._choose(int(label.partition(":")[0])))
        else:
            number = gui.add_number("clip number", initial_value=self._session.clip, min=0, max=len(names) - 1, step=1)
            self._on(number, self._choose)
        self._time: Any = gui.add_slider(
            "time, s", 0.0, 1.0, 0.01, 0.0, hint="shows the past; playing goes on from there"
        )
        self._on(self._time, self._seek)
        self._pause = gui.add_button("Pause")
        self._on(self._pause, lambda _: self._play(not self._playing))
        self._on(gui.add_button_group("", ("Step", "Restart")), self._step_or_restart)
        self._on(gui.add_dropdown("speed", tuple(_SPEEDS), initial_value="1"), self._set_speed)

    def _add_push_controls(self) -> None:
        gui = self._server.gui
        strength = gui.add_slider("strength, m/s", 0.1, 5.0, 0.1, 1.0, hint="velocity added to the whole body")
        direction = gui.add_dropdown("direction", tuple(_DIRECTIONS), initial_value="from behind")
        self._on(gui.add_button("Push"), lambda _: self._push(float(strength.value), direction.value))

    def _add_policy_controls(self) -> None:
        self._policies: Any = self._server.gui.add_dropdown(
            "checkpoint", self._shelf.names(), initial_value=self._shelf.name
        )
        self._on(self._policies, self._use)

    def _add_view_controls(self) -> None:
        gui = self._server.gui
        follow = gui.add_checkbox("follow", initial_value=self._stage.follow)
        self._on(follow, lambda v: setattr(self._stage, "follow", v))
        ghost = gui.add_dropdown("reference", ("over", "beside", "hidden"), initial_value=self._stage.ghost)
        self._on(ghost, lambda v: setattr(self._stage, "ghost", v))

    def _on(self, element: Any, act: Callable[[Any], None]) -> None:
        """Have ``act`` called with the element's value, in the simulation's thread, whenever a visitor changes it."""

        def note(event: Any) -> None:
            if event.client is not None:  # None: we set the value ourselves
                value = event.target.value
                self._wishes.put(lambda: act(value))

        (element.on_click if hasattr(element, "on_click") else element.on_update)(note)

    # -- what visitors wish ----------------------------------------------------------------------------------------

    def _choose(self, clip: int) -> None:
        self._session.choose(clip)
        self._lay_out()
        self._play(True)

    def _lay_out(self) -> None:
        self._stage.begin(self._session.shown.state.root_pos.double().cpu().numpy())

    def _play(self, playing: bool) -> None:
        self._playing = playing
        self._pause.label = "Pause" if playing else "Play"

    def _step_or_restart(self, which: str) -> None:
        if which == "Restart":
            self._session.restart()
        else:
            self._play(False)
            self._session.step()

    def _seek(self, seconds: float) -> None:
        self._play(False)
        self._session.seek(round(seconds / self._session.env.control_dt))

    def _set_speed(self, name: str) -> None:
        self._speed = _SPEEDS[name]

    def _push(self, strength: float, direction: str) -> None:
        self._session.push(push_velocity(self._session.shown.state.root_rot, strength, direction))
        self._play(True)

    def _use(self, name: str) -> None:
        try:
            self._session.use(self._shelf.load(name))
        except InputError:
            self._policies.value = self._shelf.name
            raise
        self._say("Loaded", name, "green")


def push_velocity(root_rot: Tensor, strength: float, direction: str) -> Tensor:
    """World velocities (N, 3) m / s of a push of ``strength`` m / s as seen by humanoids of root rotations (N, 4)."""
    ahead = torch.tensor(_DIRECTIONS[direction], dtype=root_rot.dtype, device=root_rot.device)
    return strength * quat_rotate(heading_quat(root_rot), ahead.expand(len(root_rot), 3))


def _plot(server: viser.ViserServer, title: str, colour: str) -> Any:
    return server.gui.add_uplot(
        (np.array([-1.0, 0.0]), np.zeros(2)),
        (viser.uplot.Series(label="s"), viser.uplot.Series(label=title, stroke=colour, width=2)),
        title=title,
        scales={"x": viser.uplot.Scale(time=False)},
        legend=viser.uplot.Legend(show=False),
        height=_PLOT_HEIGHT,
        visible=False,
    )


@contextlib.contextmanager
def _server(host: str, port: int) -> Iterator[viser.ViserServer]:
    """A running server; refuses what it would wait for in vain."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(address)
    except OSError as error:
        fault = f"nothing can be served on {host!r} ({error.strerror})"
        raise InputError("--play.host", fault, "use 127.0.0.1, or an address of this machine") from None
    with contextlib.redirect_stdout(io.StringIO()):  # its banner
        server = viser.ViserServer(host, port, verbose=False)
    try:
        yield server
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            server.stop()


@contextlib.contextmanager
def _signals() -> Iterator[threading.Event]:
    """What Ctrl-C and SIGTERM set, instead of interrupting the server with its locks held."""
    asked_to_end = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: asked_to_end.set())
    try:
        yield asked_to_end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
