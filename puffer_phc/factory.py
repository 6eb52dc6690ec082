"""From options to a running environment."""

from __future__ import annotations

import torch

from puffer_phc.config import Config
from puffer_phc.envs.actions import ActionMap
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.scene import Scene
from puffer_phc.envs.tracking import TrackingTask
from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.manifest import is_manifest, load_manifest_clips
from puffer_phc.motions.packed import is_packed, open_packed
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.smpl import smpl_robot
from puffer_phc.simulation.mujoco_cpu import MujocoCpu
from puffer_phc.simulation.mujoco_warp import MujocoWarp
from puffer_phc.simulation.simulator import Simulator


def make_robot(cfg: Config) -> Robot:
    """The humanoid of ``[robot]``."""
    robot = cfg.robot
    return smpl_robot(robot, robot.kp_scale, robot.kd_scale, robot.self_collision, robot.feet)


def make_library(cfg: Config, robot: Robot, device: torch.device, rank: int = 0, ranks: int = 1) -> MotionLibrary:
    """The motions of ``env.motion_file`` on ``device``; with ``env.shard`` every ``ranks``-th, from ``rank`` on.

    Raises:
        InputError: there are none, or they are wrong, or fewer than ranks.
    """
    if is_packed(cfg.env.motion_file):
        part = (rank, ranks) if cfg.env.shard else (0, 1)
        return open_packed(cfg.env.motion_file, robot, device, *part)
    clips, weights = _clips(cfg)
    if cfg.env.shard:
        if len(clips) < ranks:
            raise InputError("--env.shard", f"{len(clips)} clips cannot be shared among {ranks} ranks", "leave it out")
        clips, weights = clips[rank::ranks], weights[rank::ranks]
    return MotionLibrary(clips, robot, device, cfg.env.height_fix, cfg.env.storage, weights)


def _clips(cfg: Config) -> tuple[list[MotionClip], list[float]]:
    """Clips of ``env.motion_file`` and how often each is drawn, relative to others."""
    if is_manifest(cfg.env.motion_file):
        return load_manifest_clips(cfg.env.motion_file, cfg.env.split)
    clips = load_motions(cfg.env.motion_file)
    return clips, [1.0] * len(clips)


def make_simulator(cfg: Config, robot: Robot, num_envs: int, device: torch.device) -> Simulator:
    """The engine for ``device``."""
    if device.type == "cpu":
        return MujocoCpu(robot, num_envs, cfg.robot, cfg.base.threads)
    return MujocoWarp(robot, num_envs, cfg.robot, device)


def make_env(
    cfg: Config, robot: Robot, library: MotionLibrary, num_envs: int, device: torch.device, seed: int
) -> HumanoidPHC:
    """``num_envs`` humanoids on the clips of ``library``."""
    scene = Scene(robot, make_simulator(cfg, robot, num_envs, device), library, cfg.robot.control_dt)
    task = TrackingTask(scene, cfg.env, cfg.reward)
    return HumanoidPHC(scene, task, ActionMap(scene, cfg.env), cfg.env, cfg.env, seed)
