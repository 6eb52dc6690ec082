"""From options to a running environment."""

from __future__ import annotations

import torch

from puffer_phc.config import Config
from puffer_phc.envs.actions import ActionMap
from puffer_phc.envs.deepmimic import DeepMimicTask
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.scene import Scene
from puffer_phc.envs.style_history import StyleHistory
from puffer_phc.envs.style_task import StyleTask
from puffer_phc.envs.tasks import Task
from puffer_phc.envs.tracking import TrackingTask
from puffer_phc.errors import InputError
from puffer_phc.game.fitting import refitted
from puffer_phc.game.options import team_reward
from puffer_phc.game.survival import SurvivalTask
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.clip_lists import is_clip_list, load_clip_list, names_of_source, read_clip_list
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.manifest import is_manifest, load_manifest_clips
from puffer_phc.motions.packed import is_packed, open_packed
from puffer_phc.robots.amp_humanoid import amp_humanoid_robot
from puffer_phc.robots.mjcf import mjcf_robot
from puffer_phc.robots.robot import Robot
from puffer_phc.robots.smpl import smpl_robot
from puffer_phc.simulation.mujoco_cpu import MujocoCpu
from puffer_phc.simulation.mujoco_warp import MujocoWarp
from puffer_phc.simulation.simulator import Simulator


def make_robot(cfg: Config) -> Robot:
    """The humanoid of ``[robot]``, with the prosthesis of ``[game]``.

    Raises:
        InputError: the MJCF or the settings of a robot of one's own are wrong, or the prosthesis does not fit.
    """
    robot = _intact_robot(cfg)
    return refitted(robot, cfg.game) if cfg.game.refitted else robot


def _intact_robot(cfg: Config) -> Robot:
    robot = cfg.robot
    common = (robot, robot.kp_scale, robot.kd_scale, robot.self_collision)
    if robot.kind == "amp_humanoid":
        return amp_humanoid_robot(*common, robot.gains, robot.action_bounds)
    if robot.kind == "mjcf":
        return mjcf_robot(robot.mjcf, robot.settings or None, *common)
    return smpl_robot(*common, robot.feet)


def make_library(cfg: Config, robot: Robot, device: torch.device, rank: int = 0, ranks: int = 1) -> MotionLibrary:
    """The motions of ``env.motion_file`` on ``device``; with ``env.shard`` every ``ranks``-th, from ``rank`` on.

    Raises:
        InputError: there are none, or they are wrong, or fewer than ranks.
    """
    file, part = cfg.env.motion_file, (rank, ranks) if cfg.env.shard else (0, 1)
    packed_file = is_packed(file) or (is_clip_list(file) and _packed_source(file) is not None)
    if packed_file and cfg.env.velocity == "forward":
        raise InputError("--env.velocity forward", f"{file} is packed with smooth velocities", "name the motion files")
    if is_packed(file):
        return open_packed(file, robot, device, *part)
    if is_clip_list(file) and (packed := _packed_source(file)):
        return open_packed(packed, robot, device, *part, names_of_source(file, packed))
    clips, weights = _clips(file, cfg.env.split)
    if cfg.env.shard:
        if len(clips) < ranks:
            raise InputError("--env.shard", f"{len(clips)} clips cannot be shared among {ranks} ranks", "leave it out")
        clips, weights = clips[rank::ranks], weights[rank::ranks]
    return MotionLibrary(clips, robot, device, cfg.env.height_fix, cfg.env.storage, weights, cfg.env.velocity)


def _packed_source(path: str) -> str | None:
    """The packed data set that a list takes clips from, if it does."""
    return next((entry.source for entry in read_clip_list(path) if is_packed(entry.source)), None)


def _clips(path: str, split: str) -> tuple[list[MotionClip], list[float]]:
    """Clips of a motion file, folder, pattern, manifest or list, and how often each is drawn, relative to others."""
    if is_manifest(path):
        return load_manifest_clips(path, split)
    if is_clip_list(path):
        return load_clip_list(path, lambda source: _clips(source, split))
    clips = load_motions(path)
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
    loop = cfg.deepmimic.loop if cfg.env.task == "deepmimic" else "clamp"
    scene = Scene(robot, make_simulator(cfg, robot, num_envs, device), library, cfg.robot.control_dt, loop)
    style = _make_style(cfg, scene)
    task = _make_task(cfg, scene, style)
    if cfg.game.on and team_reward(cfg) == "survival":
        task = SurvivalTask(task, num_envs, device)
    return HumanoidPHC(scene, task, ActionMap(scene, cfg.env), cfg.env, cfg.env, seed, style)


def _make_task(cfg: Config, scene: Scene, style: StyleHistory | None) -> Task:
    """What ``env.task`` names."""
    if cfg.env.task == "amp" and style is not None:
        return StyleTask(scene, style, cfg.env)
    if cfg.env.task == "deepmimic":
        return DeepMimicTask(scene, cfg.deepmimic, cfg.env.episode_steps)
    return TrackingTask(scene, cfg.env, cfg.reward)


def _make_style(cfg: Config, scene: Scene) -> StyleHistory | None:
    """What the discriminator of ``[style]`` sees; None where the task has no use for it."""
    if cfg.env.task != "amp" and not cfg.env.use_amp_obs:
        return None
    return StyleHistory(scene, cfg.style.steps, cfg.style.root == "heading", paired=cfg.style.kind == "add")
