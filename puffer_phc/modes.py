"""What ``--mode`` chooses: train, evaluate, play, export."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from puffer_phc.config import Config, resolve, resolve_device, to_dict
from puffer_phc.config_checks import check
from puffer_phc.errors import InputError
from puffer_phc.evaluation.categories import categories_of
from puffer_phc.evaluation.evaluator import Evaluator
from puffer_phc.evaluation.outcome import Outcome, rows_of, setup_of
from puffer_phc.evaluation.report import summary_table, write_summary
from puffer_phc.evaluation.statistics import statistics
from puffer_phc.evaluation.style_evaluator import StyleEvaluator, episode_table, write_episodes
from puffer_phc.evaluation_mode import (
    announce,
    evaluation_library,
    exhibits_of,
    held_out,
    labels_of,
    safe_name,
    write_page,
    write_side_by_side,
)
from puffer_phc.factory import make_env, make_library, make_robot
from puffer_phc.game.setup import set_up
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.processor import intra_op_threads
from puffer_phc.robots.robot import Robot
from puffer_phc.training import checkpoint
from puffer_phc.training.dashboard import make_dashboard
from puffer_phc.training.distributed import World, joined, local_device, rank_threads, seed_of
from puffer_phc.training.judging import evaluate_together, play_together
from puffer_phc.training.run_folder import RunFolder, make_folder, new_run_path
from puffer_phc.training.trainer import Trainer, memory_use
from puffer_phc.viewers.live import opener
from puffer_phc.viewers.play import write_video
from puffer_phc.viewers.session import PlaySession
from puffer_phc.viewers.weights import Shelf


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
    game = set_up(cfg, env, start, device, seed_of(cfg.base.seed, world.rank)) if cfg.game.on else None
    policy = game.policy if game else _policy(cfg, robot, env.num_obs, start).to(device)
    evaluator = _evaluator(held_out(cfg), robot, evaluation_library(cfg, robot, library, device), device)
    _announce(console, cfg, library, policy, device, world)
    with RunFolder(cfg, path, resumed=bool(cfg.base.resume)) if world.first else nullcontext() as folder:
        trainer = Trainer(cfg, game.env if game else env, policy, evaluator, folder, world, game)
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
    best_steps = _load_best(trainer.tested, path, world)
    _report(console, cfg, evaluator, trainer.tested, path / "eval", {"steps": best_steps}, world, path.name, library)
    if cfg.eval.video and world.first:
        _film(console, cfg, robot, evaluator, trainer.tested, path / "videos")
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
    """Evaluate ``base.checkpoint`` on every clip; tables and a page go to the terminal and next to the checkpoint."""
    cfg, _, policy, evaluator, file = _load(held_out(cfg))
    folder = Path(cfg.base.output) / cfg.base.name if cfg.base.name else _run_of(file) / "eval"
    _report(console, cfg, evaluator, policy, folder, {"checkpoint": str(file)}, World(), _run_of(file).name)
    return 0


def evaluate_several(cfgs: Sequence[Config], console: Console) -> int:
    """Evaluate several checkpoints on the same clips, each with its own options; a page shows them side by side."""
    cfgs = [held_out(cfg) for cfg in cfgs]
    if len({(cfg.env.motion_file, cfg.env.split) for cfg in cfgs}) > 1:
        raise InputError("--eval.motion_file", "the checkpoints were trained on different motions", "name the clips")
    files = [checkpoint.find(Path(cfg.base.checkpoint)) for cfg in cfgs]
    labels = labels_of(files)
    base = cfgs[0].base
    folder = Path(base.output) / (base.name or f"evaluation-{time.strftime('%Y%m%d-%H%M%S')}")
    outcomes = []
    for cfg, file, label in zip(cfgs, files, labels, strict=True):
        console.print(f"{label}:", soft_wrap=True, highlight=False, markup=False)
        cfg, _, policy, evaluator, _ = _load(cfg)
        outcome = _report(
            console, cfg, evaluator, policy, folder / safe_name(label), {"checkpoint": str(file)}, World(), label
        )
        if outcome is None:
            raise InputError("--checkpoint", f"{label} follows no clips", "compare checkpoints of the tracking task")
        outcomes.append(outcome)
    announce(console, write_side_by_side(folder, outcomes, cfgs[0].env.motion_file))
    return 0


def play(cfg: Config, console: Console) -> int:
    """Show ``base.checkpoint`` performing ``eval.video_clip`` in the viewer ``play.viewer``."""
    if cfg.play.viewer != "video":
        return _show(cfg, console)
    cfg, robot, policy, evaluator, file = _load(cfg)
    _film(console, cfg, robot, evaluator, policy, _run_of(file) / "videos")
    return 0


def export(cfg: Config, console: Console) -> int:
    """Write ``base.checkpoint`` as files that run without this program, checked against it; see docs/deployment.md."""
    from puffer_phc.deployment.export import CHECKED_OBSERVATIONS, Source, export_policy, require_exporter

    require_exporter()  # before anything is loaded
    cfg = replace(cfg, base=replace(cfg.base, device="cpu"))  # the exported check runs there, too
    cfg, robot, policy, evaluator, file = _load(cfg)
    if policy.ratio_shape:
        raise InputError(file, "is of a game, and export writes single networks", "export the human's checkpoint")
    library = evaluator.env.library
    folder = Path(cfg.export.output) if cfg.export.output else _run_of(file) / "export"
    with intra_op_threads(1), console.status("evaluating and exporting"):
        env = make_env(cfg, robot, library, 8, evaluator.env.device, cfg.base.seed)
        clips = range(min(cfg.export.clips, library.num_clips))
        followed = env.task.reference is not None
        whole = Evaluator(evaluator.env, cfg.eval.termination_distance)  # whole clips, whatever [eval] says
        results = tuple(whole.play(policy, clips)) if followed and clips else ()
        episodes = tuple(evaluator.play(policy)) if not followed and isinstance(evaluator, StyleEvaluator) else ()
        steps = int(checkpoint.load(file).get("steps", 0))
        source = Source(file, steps, cfg.robot, cfg.eval.termination_distance, len(clips), results, episodes)
        report = export_policy(env, policy, source, folder)
    for name, difference in report.items():
        console.print(
            f"{name}: differs from the checkpoint by at most {difference:.1e} ({CHECKED_OBSERVATIONS:,} observations)",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"exported to {folder}; try it: scripts/sim2sim.py {folder}", highlight=False, soft_wrap=True)
    return 0


def _show(cfg: Config, console: Console) -> int:
    """Play until the window is closed or the page is ended by Ctrl-C."""
    show = opener(cfg.play)  # before anything is loaded: it may be missing
    cfg, robot, library, device, file = _ingredients(cfg)
    num_envs = cfg.play.envs if cfg.play.viewer == "web" else 1
    env = make_env(cfg, robot, library, num_envs, device, cfg.base.seed)
    shelf = Shelf(env, file)
    with intra_op_threads(1):
        session = PlaySession(env, shelf.load(file.name), _clip_number(library, cfg.eval.video_clip))
        show(session, shelf, lambda text: console.print(text, soft_wrap=True, highlight=False, markup=False))
    return 0


def _load(cfg: Config) -> tuple[Config, Robot, ActorCritic, Evaluator | StyleEvaluator, Path]:
    cfg, robot, library, device, file = _ingredients(cfg)
    evaluator = _evaluator(cfg, robot, library, device)
    data = checkpoint.load(file)
    policy = checkpoint.load_policy(data, robot.name, evaluator.env.num_obs, robot.num_dofs, str(file)).to(device)
    if isinstance(evaluator, StyleEvaluator) and evaluator.env.style and cfg.style.kind != "off":
        judge = checkpoint.load_discriminator(data, evaluator.env.style.size, str(file))
        evaluator.discriminator = judge.to(device) if judge else None
    return cfg, robot, policy, evaluator, file


def _ingredients(cfg: Config) -> tuple[Config, Robot, MotionLibrary, torch.device, Path]:
    """What playing and evaluating begin with; the last is the checkpoint file."""
    if not cfg.base.checkpoint:
        raise InputError("--checkpoint", "is needed to play, evaluate or export", "name a run folder or a .pt file")
    device = resolve_device(cfg.base.device)
    file = checkpoint.find(Path(cfg.base.checkpoint))
    cfg = resolve(cfg, device)
    robot = make_robot(cfg)
    return cfg, robot, make_library(cfg, robot, device), device, file


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
    if start.get("game"):
        raise InputError(_source(cfg), "is of a game, whose agents learn in a game", "use --game.mode")
    policy = checkpoint.load_policy(start, robot.name, num_obs, robot.num_dofs, _source(cfg))
    if not cfg.policy.learn_std:
        policy.log_std.fill_(cfg.policy.log_std)
    return policy


def _evaluator(cfg: Config, robot: Robot, library: MotionLibrary, device: torch.device) -> Evaluator | StyleEvaluator:
    if cfg.env.task != "tracking":
        env = make_env(cfg, robot, library, cfg.eval.num_envs, device, cfg.base.seed)
        scale = cfg.style.reward_scale
        return StyleEvaluator(env, cfg.env.episode_steps, cfg.base.seed, cfg.train.capture, scale)
    num_envs = min(cfg.eval.num_envs, library.num_clips)
    env = make_env(cfg, robot, library, num_envs, device, cfg.base.seed)
    categories = categories_of(library.names, cfg.env.motion_file, cfg.eval.categories)
    distance, protocol, seed = cfg.eval.termination_distance, cfg.eval.protocol, cfg.base.seed
    return Evaluator(env, distance, cfg.train.capture, protocol, seed, categories)


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
    evaluator: Evaluator | StyleEvaluator,
    policy: ActorCritic,
    folder: Path,
    extra: dict[str, Any],
    world: World,
    label: str,
    library: MotionLibrary | None = None,
) -> Outcome | None:
    """Evaluate, all ranks together; rank 0 prints the table and writes the report.

    ``library`` is that of training, which may be shared among the ranks. Returns what a page needs, on rank 0, of a
    task with a reference.
    """
    start = time.monotonic()
    if isinstance(evaluator, StyleEvaluator):
        _report_episodes(console, cfg, evaluator, policy, folder, extra, world)
        return None
    sharded = cfg.env.shard and world.size > 1 and evaluator.env.library is library
    with intra_op_threads(1), console.status("evaluating"):
        summary, results = evaluate_together(evaluator, policy, sharded, world)
    if not world.first:
        return None
    extra |= {"seconds": time.monotonic() - start, "options": to_dict(cfg)}
    make_folder(folder)
    stats = statistics(results, cfg.robot.control_dt, cfg.base.seed)
    json_path, tsv_path = write_summary(folder, summary, results, extra, stats, held_out(cfg).env.motion_file)
    console.print(summary_table(summary, results))
    outcome = Outcome(label, setup_of(to_dict(cfg)), cfg.robot.control_dt, stats, rows_of(results))
    with intra_op_threads(1), console.status("drawing the report"):
        exhibits, note = exhibits_of(cfg, evaluator.env.robot, evaluator, policy, results, folder)
        page = write_page(folder, [outcome], exhibits, note, f"Evaluation of {label}")
    console.print(f"evaluation: {json_path}, {tsv_path.name} and {page.name}", soft_wrap=True)
    return outcome


def _report_episodes(
    console: Console,
    cfg: Config,
    evaluator: StyleEvaluator,
    policy: ActorCritic,
    folder: Path,
    extra: dict[str, Any],
    world: World,
) -> None:
    """:func:`_report` of a task without reference."""
    start = time.monotonic()
    with intra_op_threads(1), console.status("evaluating"):
        summary, results = play_together(evaluator, policy, world)
    if not world.first:
        return
    make_folder(folder)
    extra |= {"seconds": time.monotonic() - start, "options": to_dict(cfg)}
    path = write_episodes(folder, summary, results, extra)
    console.print(episode_table(summary))
    console.print(f"evaluation: {path}", soft_wrap=True)


def _film(
    console: Console,
    cfg: Config,
    robot: Robot,
    evaluator: Evaluator | StyleEvaluator,
    policy: ActorCritic,
    folder: Path,
) -> None:
    """Record and render one clip; a machine without OpenGL loses the video, nothing else."""
    clip = _clip_number(evaluator.env.library, cfg.eval.video_clip)
    with intra_op_threads(1):
        recording = evaluator.record(policy, clip)
    name = safe_name(recording.name)
    make_folder(folder)
    fps = 1.0 / cfg.robot.control_dt
    with console.status("rendering the video"):
        try:
            path = write_video(folder / f"{name}.mp4", robot, recording, fps, cfg.play.layout)
        except InputError as error:
            if cfg.base.mode == "play":
                raise
            console.print(f"no video: {error}", soft_wrap=True)
            return
    outcome = "followed to its end" if recording.success else "lost on the way"
    if recording.reference is None:
        outcome = "on its feet to the end" if recording.success else "fell"
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
