"""Small environments on the bundled motions."""

from dataclasses import replace
from pathlib import Path

import torch

from puffer_phc.config import EnvConfig
from puffer_phc.envs.actions import ActionMap
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.rewards import RewardConfig
from puffer_phc.envs.scene import Scene
from puffer_phc.envs.tracking import TrackingTask
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.sampler import SamplingConfig
from puffer_phc.robots.robot import PhysicsOptions
from puffer_phc.robots.smpl import smpl_robot
from puffer_phc.robots.state import BodyState
from puffer_phc.simulation.mujoco_cpu import MujocoCpu

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
PHYSICS = PhysicsOptions()
DT = 1 / 30
ROBOT = smpl_robot(PHYSICS)
CLIPS = [load_motions(SAMPLES / name)[0] for name in ("walk.npz", "squat_and_wave.npz")]
LIBRARY = MotionLibrary(CLIPS, ROBOT)
FAR = 1e6  # m: a termination distance that nobody reaches


def excerpt(frames, clip=0, first=60):
    """The first frames of a bundled clip, as a library of its own."""
    whole = CLIPS[clip]
    rows = slice(first, first + frames)
    return replace(whole, root_pos=whole.root_pos[rows], local_rot=whole.local_rot[rows])


def short_library(*frames):
    return MotionLibrary([excerpt(n, i % 2) for i, n in enumerate(frames)], ROBOT)


class Recorder:
    """A simulator that remembers its bodies after each step and can be told to fail."""

    def __init__(self, simulator):
        self._simulator = simulator
        self.stepped = None
        self.poison = None  # environment whose next step gives nothing but NaN

    def __getattr__(self, name):
        return getattr(self._simulator, name)

    def step(self, target):
        self.physics(target)
        self.read()

    def physics(self, target):
        self.target = target.clone()
        self._simulator.physics(target)

    def read(self):
        self._simulator.read()
        if self.poison is not None:
            for tensor in (*self.bodies, self.dof_vel, self.dof_force):
                tensor[self.poison] = float("nan")
            self.diverged[self.poison] = True
            self.poison = None
        self.stepped = BodyState(*(x.clone() for x in self.bodies))
        self.power = (self.dof_force * self.dof_vel).abs().sum(1)


def make(envs=4, library=LIBRARY, seed=0, reward=None, sampling=None, **options):
    cfg = EnvConfig(**options)
    scene = Scene(ROBOT, Recorder(MujocoCpu(ROBOT, envs, PHYSICS, threads=1)), library, DT)
    task = TrackingTask(scene, cfg, reward or RewardConfig())
    return HumanoidPHC(scene, task, ActionMap(scene, cfg), cfg, sampling or SamplingConfig(), seed)


def actions(steps, envs=4, scale=0.2, seed=0):
    return scale * torch.randn(steps, envs, 69, generator=torch.Generator().manual_seed(seed))
