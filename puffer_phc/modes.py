"""What ``--mode`` chooses: train, evaluate, play."""

from __future__ import annotations

import signal
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from puffer_phc.config import Config, check, resolve, resolve_device, to_dict
from puffer_phc.errors import InputError
from puffer_phc.evaluation.evaluator import Evaluator
from puffer_phc.evaluation.report import summary_table, write_summary
from puffer_phc.factory import make_env, make_library, make_robot
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.robots.robot import Robot
from puffer_phc.training import checkpoint
from puffer_phc.training.dashboard import make_dashboard
from puffer_phc.training.distributed import World, joined, local_device, rank_threads, seed_of
from puffer_phc.training.run_folder import RunFolder, make_folder, new_run_path
from puffer_phc.training.threads import intra_op_threads
from puffer_phc.training.trainer import Trainer, evaluate_together, memory_use
from puffer_phc.viewers.play import write_video


def train(cfg: Config, console: Console) -> int:
    """Train, then evaluate the best policy and film it; returns the exit code. One rank of many under ``torchrun``."""
    device = local_device(resolve_device(cfg.base.device), named=":" in cfg.base.device)
    if not cfg.base.threads:
        cfg = replace(cfg, base=replace(cfg.base, threads=rank_threads()))
    with joined(device) as world:
        return _train(cfg, console if world.first else Console(quiet=True), device, world)


def _train(cfg: Config, console: Console, device: torch.device, world: World) -> int:
    torch.manual_seed(cfg.base.seed)
    start, path = _starting_point(cfg)
    if start:
        cfg = _with_network_of(cfg, start)
    cfg = resolve(cfg, device)
    check(cfg)  # once more: network and horizon are known only now
    robot = make_robot(cfg)
    library = make_library(cfg, robot, device, world.rank, world.size)
    env = make_env(cfg, robot, library, cfg.env.num_envs, device, seed_of(cfg.base.seed, world.rank))
    policy = _policy(cfg, robot, env.num_obs, start).to(device)
    evaluator = _evaluator(cfg, robot, library, device)
    _announce(console, cfg, library, policy, device, world)
    with RunFolder(cfg, path, resumed=bool(cfg.base.resume)) if world.first else nullcontext() as folder:
        trainer = Trainer(cfg, env, policy, evaluator, folder, world)
        if start and cfg.base.resume:
            trainer.restore(start)
        with make_dashboard(f"puffer-phc  {path}", console, cfg.base.dashboard) as dashboard:
            trainer.train(dashboard)
    if trainer.stopped_by:
        console.print(f"stopped by {trainer.stopped_by}; go on with: scripts/train.py --resume {path}", soft_wrap=True)
        return 128 + signal.Signals[trainer.stopped_by].value
    memory = "".join(f", {gib:.1f} GiB of GPU memory" for gib in memory_use(device).values())
    console.print(
        f"trained for {trainer.seconds():,.0f} s and {trainer.steps:,} samples{memory}; the best policy of the run:"
    )
    best_steps = _load_best(policy, path, world)
    _report(console, cfg, evaluator, policy, path / "eval", {"steps": best_steps}, world)
    if cfg.eval.video and world.first:
        _film(console, cfg, robot, evaluator, policy, path / "videos")
    console.print(f"run folder: {path}", soft_wrap=True)
    return 0


def _load_best(policy: ActorCritic, path: Path, world: World) -> int:
    """Give every rank the best policy of the run; returns its samples. Only rank 0 need see the run folder."""
    best: dict[str, Any] = {}
    if world.first:
        data = checkpoint.load(path / "checkpoints" / checkpoint.BEST)
        best = {"policy": data["policy"], "steps": data["steps"]}
    best = world.gather(best)[0]
    policy.load_state_dict(best["policy"])
    return int(best["steps"])


def evaluate(cfg: Config, console: Console) -> int:
    """Evaluate ``base.checkpoint`` on every clip; tables go to the terminal and next to the checkpoint."""
    cfg, _, policy, evaluator, file = _load(cfg)
    folder = Path(cfg.base.output) / cfg.base.name if cfg.base.name else _run_of(file) / "eval"
    _report(console, cfg, evaluator, policy, folder, {"checkpoint": str(file)}, World())
    return 0


def play(cfg: Config, console: Console) -> int:
    """Film ``base.checkpoint`` performing ``eval.video_clip``, beside the reference."""
    cfg, robot, policy, evaluator, file = _load(cfg)
    _film(console, cfg, robot, evaluator, policy, _run_of(file) / "videos")
    return 0


def _load(cfg: Config) -> tuple[Config, Robot, ActorCritic, Evaluator, Path]:
    if not cfg.base.checkpoint:
        raise InputError("--checkpoint", "is needed to play or evaluate", "name a run folder or a .pt file")
    device = resolve_device(cfg.base.device)
    file = checkpoint.find(Path(cfg.base.checkpoint))
    cfg = resolve(cfg, device)
    robot = make_robot(cfg)
    library = make_library(cfg, robot, device)
    evaluator = _evaluator(cfg, robot, library, device)
    data = checkpoint.load(file)
    policy = checkpoint.load_policy(data, robot.name, evaluator.env.num_obs, robot.num_dofs, str(file)).to(device)
    return cfg, robot, policy, evaluator, file


def _starting_point(cfg: Config) -> tuple[dict[str, Any] | None, Path]:
    """The checkpoint to start from, if any, and the run folder."""
    if cfg.base.resume:
        path = Path(cfg.base.resume)
        return checkpoint.load(path / "checkpoints" / checkpoint.LAST), path
    return (checkpoint.load(cfg.base.checkpoint) if cfg.base.checkpoint else None), new_run_path(cfg)


def _with_network_of(cfg: Config, data: dict[str, Any]) -> Config:
    """``cfg`` with the network of the checkpoint it starts from; its exploration noise stays an option."""
    saved = checkpoint.config_of(data, _source(cfg)).policy
    return replace(cfg, policy=replace(saved, log_std=cfg.policy.log_std))


def _source(cfg: Config) -> str:
    """What to call the checkpoint of :func:`_starting_point`."""
    return cfg.base.resume or cfg.base.checkpoint


def _policy(cfg: Config, robot: Robot, num_obs: int, start: dict[str, Any] | None) -> ActorCritic:
    if start is None:
        return ActorCritic(num_obs, robot.num_dofs, cfg.policy, cfg.policy.hidden)
    policy = checkpoint.load_policy(start, robot.name, num_obs, robot.num_dofs, _source(cfg))
    if not cfg.policy.learn_std:
        policy.log_std.fill_(cfg.policy.log_std)
    return policy


def _evaluator(cfg: Config, robot: Robot, library: MotionLibrary, device: torch.device) -> Evaluator:
    num_envs = min(cfg.eval.num_envs, library.num_clips)
    env = make_env(cfg, robot, library, num_envs, device, cfg.base.seed)
    return Evaluator(env, cfg.eval.termination_distance, cfg.train.capture)


def _announce(
    console: Console, cfg: Config, library: MotionLibrary, policy: ActorCritic, device: torch.device, world: World
) -> None:
    seconds = float(library.duration.sum())
    place = str(device) if world.size == 1 else f"each of {world.size} {device.type} ranks"
    millions = sum(parameter.numel() for parameter in policy.parameters()) / 1e6
    limit = f"{cfg.train.time_limit:,.0f} s" if cfg.train.time_limit > 0 else f"{cfg.train.total_steps:,} samples"
    console.print(
        f"{library.num_clips} clip(s), {seconds:,.1f} s of motion from {cfg.env.motion_file}; {cfg.env.num_envs:,} "
        f"humanoids on {place}; {millions:.1f} M parameters; training for {limit}",
        soft_wrap=True,
        highlight=False,
    )


def _report(
    console: Console,
    cfg: Config,
    evaluator: Evaluator,
    policy: ActorCritic,
    folder: Path,
    extra: dict[str, Any],
    world: World,
) -> None:
    """Evaluate, all ranks together; rank 0 prints the table and writes the report."""
    start = time.monotonic()
    with intra_op_threads(1), console.status("evaluating"):
        summary, results = evaluate_together(evaluator, policy, cfg.env.shard and world.size > 1, world)
    if not world.first:
        return
    extra |= {"seconds": time.monotonic() - start, "options": to_dict(cfg)}
    make_folder(folder)
    json_path, tsv_path = write_summary(folder, summary, results, extra)
    console.print(summary_table(summary, results))
    console.print(f"evaluation: {json_path} and {tsv_path.name}", soft_wrap=True)


def _film(console: Console, cfg: Config, robot: Robot, evaluator: Evaluator, policy: ActorCritic, folder: Path) -> None:
    """Record and render one clip; a machine without OpenGL loses the video, nothing else."""
    clip = _clip_number(evaluator.env.library, cfg.eval.video_clip)
    with intra_op_threads(1):
        recording = evaluator.record(policy, clip)
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in recording.name)
    make_folder(folder)
    fps = 1.0 / cfg.robot.control_dt
    with console.status("rendering the video"):
        try:
            path = write_video(folder / f"{name}.mp4", robot, recording, fps)
        except InputError as error:
            if cfg.base.mode == "play":
                raise
            console.print(f"no video: {error}", soft_wrap=True)
            return
    outcome = "followed to its end" if recording.success else "lost on the way"
    console.print(f"video: {path}  ({recording.name}, {outcome})", soft_wrap=True)


def _clip_number(library: MotionLibrary, wanted: str) -> int:
    if not wanted:
        return 0
    if wanted in library.names:
        return library.names.index(wanted)
    if wanted.isdigit() and int(wanted) < library.num_clips:
        return int(wanted)
    names = ", ".join(library.names[:5]) + (", ..." if library.num_clips > 5 else "")
    raise InputError("--eval.video_clip", f"no clip {wanted!r}", f"use 0 to {library.num_clips - 1} or one of {names}")


def _run_of(file: Path) -> Path:
    """The run folder of a checkpoint file, or the folder it lies in."""
    return file.parent.parent if file.parent.name == "checkpoints" else file.parent
