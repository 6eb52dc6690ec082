"""How to see a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

ViewerKind = Literal["video", "web", "mujoco"]
Layout = Literal["side", "overlay"]


@dataclass(frozen=True)
class PlayConfig:
    """Play mode: how a policy is shown. The clip to begin with is ``eval.video_clip``.

    Attributes:
        viewer: video (an mp4, needs no display), web (a page to play with) or mujoco (a window); --viewer for short.
        layout: video: reference and simulation side by side, or one over the other (overlay).
        envs: web: humanoids at once, side by side, each on the clip after its neighbour's.
        host: web: address that the page is served on; 0.0.0.0 lets every machine of the network steer it.
        port: web: its port, or the next free one after it; 0 for any.
    """

    viewer: Annotated[ViewerKind, tyro.conf.arg(aliases=["--viewer"])] = "video"
    layout: Layout = "side"
    envs: int = 1
    host: str = "127.0.0.1"
    port: int = 8080
