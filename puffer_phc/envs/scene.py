"""The humanoids and the moment of a clip that each of them is at: what tasks and action maps look at."""

from __future__ import annotations

import torch
from torch import Tensor

from puffer_phc.motions.library import MotionLibrary
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.state import BodyState
from puffer_phc.simulation.simulator import Simulator

TIME_SLACK = 1e-2
"""Part of a control step by which a clip may end early: times are float32, and its end a multiple only nominally."""


class Scene:
    """N simulated humanoids, the clips, and each humanoid's running episode.

    The tensors stay where they are and are written in place.

    Attributes:
        robot, simulator, library: who, where, and what is followed.
        control_dt: s of one control step.
        clip_ids, progress, start_time: (N,) the running episode: clip, control steps done, s into the clip.
    """

    def __init__(self, robot: Robot, simulator: Simulator, library: MotionLibrary, control_dt: float) -> None:
        self.robot, self.simulator, self.library, self.control_dt = robot, simulator, library, control_dt
        self.device, self.num_envs = simulator.device, simulator.num_envs
        self.clip_ids = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.progress = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.start_time = torch.zeros(self.num_envs, device=self.device)

    @property
    def bodies(self) -> BodyState:
        """The simulated bodies."""
        return self.simulator.bodies

    def time(self, steps_ahead: float = 0.0) -> Tensor:
        """Seconds (N,) into each clip, ``steps_ahead`` control steps from now."""
        return self.start_time + (self.progress + steps_ahead) * self.control_dt

    def clip_ended(self) -> Tensor:
        """(N,) bool: the clip is over."""
        return self.time() >= self.library.duration[self.clip_ids] - TIME_SLACK * self.control_dt
