"""The choice between the viewers that a person steers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from puffer_phc.errors import InputError
from puffer_phc.viewers.options import PlayConfig
from puffer_phc.viewers.session import PlaySession
from puffer_phc.viewers.weights import Shelf

Tell = Callable[[str], None]


def opener(cfg: PlayConfig) -> Callable[[PlaySession, Shelf, Tell], None]:
    """What shows a session in the viewer of the options, until a person ends it.

    Raises:
        InputError: what that viewer needs is missing here; the message says how to get it.
    """
    if cfg.viewer == "mujoco":
        from puffer_phc.viewers.native import show
        from puffer_phc.viewers.window import open_viewer

        return partial(show, open_viewer("use --viewer web or --viewer video"))
    try:
        from puffer_phc.viewers.web import serve
    except ImportError as error:
        fault = f"the page needs the package {error.name}, which is not installed"
        raise InputError("--viewer web", fault, "run: uv sync --extra view") from None
    return partial(serve, host=cfg.host, port=cfg.port)
