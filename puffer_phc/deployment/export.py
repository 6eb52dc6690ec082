"""``--mode export``: from a checkpoint to a folder that runs without torch and without this program."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from poselib.rotations import quat_rotate_inverse
from puffer_phc.deployment.agreement import Samples, check, collect, largest_differences
from puffer_phc.deployment.graph import OPSET, DeployedPolicy, require_exporter, write_onnx, write_torchscript
from puffer_phc.deployment.metadata import (
    METADATA_FILE,
    MODEL_FILE,
    MOTIONS_FILE,
    NORM_FILE,
    ONNX_FILE,
    TORCHSCRIPT_FILE,
    ActionInfo,
    ClipScore,
    EpisodeScore,
    FreeTask,
    Metadata,
    ObservationInfo,
    RobotInfo,
)
from puffer_phc.deployment.model_file import write_model
from puffer_phc.deployment.motions import MotionFrames
from puffer_phc.deployment.observations import STYLE, TRACKING, tracking_blocks
from puffer_phc.deployment.style import style_blocks, style_parts
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.style_task import StyleTask
from puffer_phc.envs.tracking import TrackingTask
from puffer_phc.errors import InputError
from puffer_phc.evaluation.metrics import ClipResult, finite_mean
from puffer_phc.evaluation.style_evaluator import EpisodeResult, summarize_episodes
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.policies.normalizer import RunningNorm
from puffer_phc.robots.robot import PhysicsOptions, Robot

CHECKED_OBSERVATIONS = 1000
_WRITTEN = (ONNX_FILE, TORCHSCRIPT_FILE, NORM_FILE, MODEL_FILE, METADATA_FILE)


@dataclass(frozen=True)
class Source:
    """Where a policy comes from.

    Attributes:
        checkpoint: its file.
        training_steps: samples it was trained with.
        physics: time stepping it was trained with.
        termination_distance: m, of the evaluation.
        clips: how many of the library's clips, from the first, are exported along.
        results: their evaluation; empty for a task that follows no clip.
        episodes: evaluation of a task without a reference; empty for others.
    """

    checkpoint: Path
    training_steps: int
    physics: PhysicsOptions
    termination_distance: float
    clips: int
    results: tuple[ClipResult, ...]
    episodes: tuple[EpisodeResult, ...] = ()


def export_policy(env: HumanoidPHC, policy: ActorCritic, source: Source, folder: Path) -> dict[str, float]:
    """Write ``policy`` to ``folder`` and make sure that the files compute what it computes.

    Files appear in ``folder`` only when all of them are written and right.

    Args:
        env: an environment of the policy's task on the CPU; it is played for a thousand observations.
        policy: on the CPU.
        source: where it comes from.
        folder: made if need be; older exports in it are replaced.

    Returns:
        By file, the largest difference from the checkpoint's outputs.

    Raises:
        InputError: a package is missing, a file cannot be written, or one differs from the checkpoint.
    """
    require_exporter()
    metadata = describe(env, policy, source)
    samples = collect(env, policy, CHECKED_OBSERVATIONS)
    with _in_one_go(folder) as draft:
        _write_policy(policy, metadata, samples, draft)
        write_model(env.robot, draft)
        save_normaliser(policy.obs_norm, draft / NORM_FILE)
        (draft / METADATA_FILE).write_text(metadata.to_json(), encoding="utf-8")
        if source.clips:
            frames_of(env.library, env.robot, source.clips).save(draft / MOTIONS_FILE)
        differences = largest_differences(draft, samples, metadata)
        check(differences)
    return differences


def describe(env: HumanoidPHC, policy: ActorCritic, source: Source) -> Metadata:
    """The metadata of ``policy`` in ``env``."""
    robot, task = _robot_info(env.robot), _free_task(env, source.episodes)
    return Metadata(
        robot=robot,
        observation=_observation_info(env, policy, robot, task),
        action=_action_info(env),
        state_size=policy.actor.state_size,
        control_dt=env.control_dt,
        timestep=source.physics.timestep,
        substeps=source.physics.substeps,
        version=version("puffer-phc"),
        opset=OPSET,
        training_steps=source.training_steps,
        checkpoint=source.checkpoint.name,
        checkpoint_sha256=hashlib.sha256(source.checkpoint.read_bytes()).hexdigest(),
        termination_distance=source.termination_distance,
        evaluation=tuple(_score(result) for result in source.results),
        task=task,
    )


def save_normaliser(norm: RunningNorm, path: Path) -> None:
    """Write mean, std (both (O,)) and clip: normalised = clip((obs - mean) / std, -clip, clip)."""
    std = torch.sqrt(norm.var.double() + norm.eps)
    np.savez(path, mean=norm.mean.double().numpy(), std=std.numpy(), clip=np.float64(norm.clip))


def frames_of(library: MotionLibrary, robot: Robot, clips: int) -> MotionFrames:
    """The first ``clips`` clips of ``library``, frame by frame."""
    counts = library.num_frames[:clips]
    clip_ids = torch.repeat_interleave(torch.arange(clips), counts)
    numbers = torch.cat([torch.arange(int(count)) for count in counts])
    times = numbers / library.fps[clip_ids]
    state, dof_pos = library.state_at(clip_ids, times), library.dof_pos_at(clip_ids, times)
    root_ang_vel = quat_rotate_inverse(state.root_rot, state.root_ang_vel)  # MuJoCo wants it in the body's frame
    return MotionFrames(
        robot=robot.name,
        names=library.names[:clips],
        num_frames=counts.numpy(),
        fps=library.fps[:clips].numpy(),
        **{name: np.ascontiguousarray(getattr(state, name)) for name in ("body_pos", "body_rot", "body_vel")},
        body_ang_vel=np.ascontiguousarray(state.body_ang_vel),
        dof_pos=np.ascontiguousarray(dof_pos),
        dof_vel=np.ascontiguousarray(state.dof_vel),
        qpos=robot.qpos(state.root_pos, state.local_rot).double().numpy(),
        qvel=torch.cat((state.root_vel, root_ang_vel, state.dof_vel), dim=1).double().numpy(),
    )


def _write_policy(policy: ActorCritic, metadata: Metadata, samples: Samples, folder: Path) -> None:
    module = DeployedPolicy(policy, metadata)
    example = tuple(tensor[:2].clone() for tensor in samples.rows(metadata))
    write_onnx(module, example, metadata, folder / ONNX_FILE)
    write_torchscript(module, example, metadata, folder / TORCHSCRIPT_FILE)


def _robot_info(robot: Robot) -> RobotInfo:
    limits = robot.torque_limit.tolist()
    return RobotInfo(
        name=robot.name,
        body_names=robot.body_names,
        dof_names=tuple(robot.model.actuator(dof).name for dof in range(robot.model.nu)),
        kp=tuple(robot.kp.tolist()),
        kd=tuple(robot.kd.tolist()),
        torque_limit=tuple(limit if np.isfinite(limit) else None for limit in limits),
        frozen_dofs=tuple(robot.frozen_dofs.tolist()),
        body_sets=robot.body_sets,
    )


def _free_task(env: HumanoidPHC, episodes: tuple[EpisodeResult, ...]) -> FreeTask | None:
    """What a task without a reference asks for; None for others."""
    if not isinstance(env.task, StyleTask) or env.style is None:
        return None
    cfg, robot = env.task.cfg, env.robot
    standing = robot.default_state()
    return FreeTask(
        goal=cfg.goal,
        goal_steps=cfg.goal_steps,
        speed_range=(cfg.speed_min, cfg.speed_max),
        goal_distance=cfg.goal_distance,
        run_share=cfg.run_share,
        episode_steps=cfg.episode_steps,
        fall=cfg.fall,
        fall_height=cfg.fall_height,
        fall_tilt=cfg.fall_tilt,
        root_heights=tuple(height if np.isfinite(height) else None for height in robot.root_heights),
        local_root=env.style.tables.local_root,
        state_init=env.episodes.state_init,
        default_share=env.episodes.default_share,
        default_qpos=tuple(robot.qpos(standing.root_pos, standing.local_rot)[0].tolist()),
        evaluation=_episode_score(episodes) if episodes else None,
    )


def _observation_info(
    env: HumanoidPHC, policy: ActorCritic, robot: RobotInfo, task: FreeTask | None
) -> ObservationInfo:
    if isinstance(env.task, TrackingTask):
        return ObservationInfo(TRACKING, env.num_obs, policy.obs_norm.clip, tracking_blocks(env.robot.num_bodies))
    if task is not None:
        blocks = style_blocks(style_parts(env.robot.model, robot, task.local_root), task)
        return ObservationInfo(STYLE, env.num_obs, policy.obs_norm.clip, blocks)
    # The policy itself does not depend on how its observation is made; sim2sim says that it cannot make this one.
    return ObservationInfo(type(env.task).__name__, env.num_obs, policy.obs_norm.clip, ())


def _action_info(env: HumanoidPHC) -> ActionInfo:
    """Read off the environment's own action map: what it makes of no action, and of a whole one."""
    cfg, dofs = env.actions.cfg, env.num_actions
    if cfg.action_mode == "reference":
        return ActionInfo("reference", (0.0,) * dofs, (cfg.action_scale,) * dofs, cfg.action_lead)
    none = torch.zeros(env.num_envs, dofs)
    offset, whole = env.actions(none)[0], env.actions(none + 1.0)[0]
    return ActionInfo("absolute", tuple(offset.tolist()), tuple((whole - offset).tolist()), 0.0)


def _score(result: ClipResult) -> ClipScore:
    return ClipScore(
        result.name, result.frames, result.played_steps, result.success, finite_mean(result.metrics["mpjpe_g"])
    )


def _episode_score(episodes: tuple[EpisodeResult, ...]) -> EpisodeScore:
    summary = summarize_episodes(episodes)
    return EpisodeScore(len(episodes), summary["episode_steps"], summary["fall_rate"], summary["task_reward"])


@contextmanager
def _in_one_go(folder: Path) -> Iterator[Path]:
    """A draft folder whose files move into ``folder`` when the block ends well; otherwise nothing changes there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=folder) as name:
            draft = Path(name)
            yield draft
            for stale in (folder / MOTIONS_FILE, *(folder / file for file in _WRITTEN)):
                stale.unlink(missing_ok=True)
            shutil.rmtree(folder / "assets", ignore_errors=True)
            for file in draft.iterdir():
                file.replace(folder / file.name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(folder, f"cannot be written ({reason})", "check the folder and the free space") from None
