"""The humanoids and the moment of a clip that each of them is at: what tasks and action maps look at."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from puffer_phc.motions.library import MotionLibrary
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState, MotionState
from puffer_phc.simulation.simulator import Simulator

Loop = Literal["auto", "wrap", "clamp"]
_EXACT = 1e-6  # rates and steps are float32
TIME_SLACK = 1e-2
"""Part of a control step by which a clip may end early: times are float32, and its end a multiple only nominally."""


class Scene:
    """N simulated humanoids, the clips, and each humanoid's running episode.

    The tensors stay where they are and are written in place.

    Attributes:
        robot, simulator, library: who, where, and what is followed.
        control_dt: s of one control step.
        clip_ids, progress, start_time: (N,) the running episode: clip, control steps done, s into the clip.
        on_frames: every clip has a frame for each control step since its first, so that nothing lies between frames.
    """

    def __init__(
        self, robot: Robot, simulator: Simulator, library: MotionLibrary, control_dt: float, loop: Loop = "clamp"
    ) -> None:
        """``loop``: clips stop at their end (clamp), begin anew there (wrap), or do as their files say (auto)."""
        self.robot, self.simulator, self.library, self.control_dt = robot, simulator, library, control_dt
        self.device, self.num_envs = simulator.device, simulator.num_envs
        self.clip_ids = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.progress = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.start_time = torch.zeros(self.num_envs, device=self.device)
        frames = library.fps * control_dt  # in each control step
        self.on_frames = bool((frames.round() >= 1).all() & ((frames - frames.round()).abs() <= _EXACT * frames).all())
        loops = torch.ones_like(library.loops) if loop == "wrap" else library.loops
        self._loops = loops if loop != "clamp" and bool(loops.any()) else None  # (C,) bool
        self._lap = torch.zeros(library.num_clips, 1, 3, device=self.device)  # m from a clip's first frame to its last
        if self._loops is not None:
            clips = torch.arange(library.num_clips, device=self.device)
            first, last = (library.bodies_at(clips, at).pos[:, :1] for at in (0 * library.duration, library.duration))
            # Over the floor only: height would add up, since no recording ends quite where it began.
            self._lap = torch.where(self._loops[:, None, None], last - first, 0.0) * first.new_tensor([1.0, 1.0, 0.0])

    @property
    def bodies(self) -> BodyState:
        """The simulated bodies."""
        return self.simulator.bodies

    def time(self, steps_ahead: float = 0.0) -> Tensor:
        """Seconds (N,) into each clip, ``steps_ahead`` control steps from now."""
        return self.start_time + (self.progress + steps_ahead) * self.control_dt

    def clip_ended(self) -> Tensor:
        """(N,) bool: the clip is over; never where it loops."""
        over = self.time() >= self.library.duration[self.clip_ids] - TIME_SLACK * self.control_dt
        return over if self._loops is None else over & ~self._loops[self.clip_ids]

    # -- clips that may loop: like the library's lookups, but for times that go on past the end ----------------------

    def clip_time(self, clip_ids: Tensor, time: Tensor) -> Tensor:
        """Seconds (M,) into the recordings, of ``time`` (M,) since the first lap of clips (M,) began."""
        if self._loops is None:
            return time
        return time - self._laps(clip_ids, time) * self.library.duration[clip_ids]

    def bodies_at(self, clip_ids: Tensor, time: Tensor) -> BodyState:
        """The reference's bodies, whole control steps from a clip's first frame.

        Each lap begins where the one before has ended, over the floor.
        """
        bodies = self.library.bodies_at(clip_ids, self.clip_time(clip_ids, time), self.on_frames)
        return bodies if self._loops is None else bodies._replace(pos=self._carried(bodies.pos, clip_ids, time))

    def state_at(self, clip_ids: Tensor, time: Tensor) -> MotionState:
        """As :meth:`bodies_at`, with joints."""
        state = self.library.state_at(clip_ids, self.clip_time(clip_ids, time), self.on_frames)
        if self._loops is None:
            return state
        return state._replace(body_pos=self._carried(state.body_pos, clip_ids, time))

    def _carried(self, pos: Tensor, clip_ids: Tensor, time: Tensor) -> Tensor:
        return pos + self._laps(clip_ids, time)[:, None, None] * self._lap[clip_ids]

    def _laps(self, clip_ids: Tensor, time: Tensor) -> Tensor:
        """Whole laps done (M,), where clips loop."""
        assert self._loops is not None
        return torch.where(self._loops[clip_ids], torch.floor(time / self.library.duration[clip_ids]), 0.0)
