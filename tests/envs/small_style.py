"""Small environments whose motion a discriminator sees."""

import torch
from small_env import DT, LIBRARY, PHYSICS, ROBOT, Recorder

from puffer_phc.envs.actions import ActionMap
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.rewards import RewardConfig
from puffer_phc.envs.scene import Scene
from puffer_phc.envs.style_history import StyleHistory
from puffer_phc.envs.style_task import StyleTask
from puffer_phc.envs.tracking import TrackingTask
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.robots.amp_humanoid import amp_humanoid_robot
from puffer_phc.simulation.mujoco_cpu import MujocoCpu

HUMANOID = amp_humanoid_robot(PHYSICS)


def sway(frames=40, fps=30.0):
    """The 28-dof humanoid swaying on the spot, as a clip."""
    time = torch.arange(frames, dtype=torch.float64) / fps
    state = HUMANOID.default_state()
    dofs = HUMANOID.default_dof.double().repeat(frames, 1)
    dofs[:, 0] += 0.2 * torch.sin(4 * time)
    dofs[:, 17] += 0.3 * torch.sin(3 * time).abs()
    root = state.root_rot.double().expand(frames, 4)
    pos = state.root_pos.double().repeat(frames, 1)
    pos[:, 0] += 0.3 * time
    return MotionClip("sway", fps, HUMANOID.body_names, pos, HUMANOID.local_rot_from_dof(root, dofs))


SWAY = MotionLibrary([sway()], HUMANOID)


def make_amp(envs=4, steps=2, seed=0, cfg=None, **options):
    """The task amp on the 28-dof humanoid."""
    from puffer_phc.config import EnvConfig

    cfg = cfg or EnvConfig(task="amp", action_mode="absolute", adaptive=0.0, **options)
    scene = Scene(HUMANOID, Recorder(MujocoCpu(HUMANOID, envs, PHYSICS, threads=1)), SWAY, DT)
    style = StyleHistory(scene, steps, local_root=False)
    return HumanoidPHC(scene, StyleTask(scene, style, cfg), ActionMap(scene, cfg), cfg, cfg, seed, style)


def make_tracking(envs=4, steps=10, paired=False, library=LIBRARY, seed=0, **options):
    """Tracking with the SMPL body while a style history is kept."""
    from puffer_phc.config import EnvConfig

    cfg = EnvConfig(use_amp_obs=True, **options)
    scene = Scene(ROBOT, Recorder(MujocoCpu(ROBOT, envs, PHYSICS, threads=1)), library, DT)
    style = StyleHistory(scene, steps, local_root=True, paired=paired)
    task = TrackingTask(scene, cfg, RewardConfig())
    return HumanoidPHC(scene, task, ActionMap(scene, cfg), cfg, cfg, seed, style)
