"""Options that cannot work are refused before anything is done."""

from __future__ import annotations

import math
import typing

from puffer_phc.config import Config, RobotKind, TrainConfig
from puffer_phc.envs.scene import Loop
from puffer_phc.errors import InputError
from puffer_phc.game.options import check_game
from puffer_phc.robots.amp_humanoid import ActionBounds, GainSet
from puffer_phc.robots.robot import Integrator
from puffer_phc.robots.smpl import Feet


def check(cfg: Config) -> None:
    """Refuse values that cannot work, naming the option.

    Raises:
        InputError: one is out of range.
    """
    integrators = typing.get_args(Integrator)  # flags and ini files know them; a checkpoint's options may be anything
    most_fresh = cfg.style.demo_buffer or math.inf
    rules = (
        ("base.threads", cfg.base.threads >= 0, "0 for all cores, or more"),
        ("env.num_envs", cfg.env.num_envs >= 0, "0 for auto, or more"),
        ("env.termination_distance", cfg.env.termination_distance > 0, "above 0 m"),
        ("env.adaptive", 0 <= cfg.env.adaptive < 1, "at least 0 and below 1"),
        ("env.bin_seconds", cfg.env.bin_seconds > 0, "above 0 s"),
        ("env.smoothing", 0 <= cfg.env.smoothing < 1, "at least 0 and below 1"),
        ("env.episode_steps", cfg.env.episode_steps >= 2, "2 or more"),
        ("env.goal_steps", cfg.env.goal_steps >= 1, "1 or more"),
        ("env.default_share", 0 <= cfg.env.default_share <= 1, "between 0 and 1"),
        ("env.run_share", 0 <= cfg.env.run_share <= 1, "between 0 and 1"),
        ("deepmimic.loop", cfg.deepmimic.loop in typing.get_args(Loop), " or ".join(typing.get_args(Loop))),
        ("deepmimic.frame", cfg.deepmimic.frame in ("global", "heading"), "global or heading"),
        ("deepmimic.tar_obs_steps", min(cfg.deepmimic.tar_obs_steps, default=0) >= 1, "some steps, of 1 or more each"),
        ("deepmimic.termination_distance", cfg.deepmimic.termination_distance > 0, "above 0 m"),
        ("style.steps", cfg.style.steps >= 0, "0 for auto, or more"),
        ("style.hidden", all(width >= 1 for width in cfg.style.hidden), "widths of 1 or more"),
        ("style.learning_rate", cfg.style.learning_rate > 0, "above 0"),
        ("style.batch", cfg.style.batch >= 0, "0 for auto, or more"),
        ("style.demo_buffer", cfg.style.demo_buffer >= 0, "0 for auto, or more"),
        ("style.demo_fresh", cfg.style.demo_fresh <= most_fresh, "at most --style.demo_buffer"),
        ("style.replay_buffer", cfg.style.replay_buffer >= 0, "0 for auto, or more"),
        ("style.replay_keep", 0 <= cfg.style.replay_keep <= 1, "between 0 and 1"),
        ("robot.integrator", cfg.robot.integrator in integrators, " or ".join(integrators)),
        ("robot.timestep", cfg.robot.timestep > 0, "above 0 s"),
        ("robot.substeps", cfg.robot.substeps >= 1, "1 or more"),
        ("robot.iterations", cfg.robot.iterations >= 1, "1 or more"),
        ("robot.line_search_iterations", cfg.robot.line_search_iterations >= 1, "1 or more"),
        ("robot.max_contacts", cfg.robot.max_contacts >= 0, "0 for auto, or more"),
        ("robot.max_rows", cfg.robot.max_rows >= 0, "0 for auto, or more"),
        ("robot.kind", cfg.robot.kind in typing.get_args(RobotKind), " or ".join(typing.get_args(RobotKind))),
        ("robot.gains", cfg.robot.gains in typing.get_args(GainSet), " or ".join(typing.get_args(GainSet))),
        ("robot.action_bounds", cfg.robot.action_bounds in typing.get_args(ActionBounds), "isaac or mimickit"),
        ("robot.mjcf", bool(cfg.robot.mjcf) == (cfg.robot.kind == "mjcf"), "a file with --robot.kind mjcf, else none"),
        ("robot.feet", cfg.robot.feet in typing.get_args(Feet), " or ".join(typing.get_args(Feet))),
        ("robot.kp_scale", cfg.robot.kp_scale > 0, "above 0"),
        ("policy.hidden", all(width >= 1 for width in cfg.policy.hidden), "widths of 1 or more"),
        ("policy.lstm_size", cfg.policy.lstm_size >= 1, "1 or more"),
        ("train.minibatches", cfg.train.minibatches >= 1, "1 or more"),
        ("train.epochs", cfg.train.epochs >= 0, "0 for auto, or more"),
        ("train.gamma", 0 <= cfg.train.gamma < 1, "at least 0 and below 1"),
        ("train.gae_lambda", 0 <= cfg.train.gae_lambda <= 1, "between 0 and 1"),
        ("train.horizon", cfg.train.horizon >= 0, "0 for auto, or more"),
        ("train.total_steps", cfg.train.total_steps >= 0, "0 for auto, or more"),
        ("train.average", 0 <= cfg.train.average < 1, "at least 0 and below 1"),
        ("train.segment", cfg.train.segment >= 1, "1 or more"),
        ("train.critic_epochs", cfg.train.critic_epochs >= 1, "1 or more"),
        ("train.critic_minibatches", cfg.train.critic_minibatches >= 1, "1 or more"),
        ("train.critic_learning_rate", cfg.train.critic_learning_rate > 0, "above 0"),
        ("train.max_grad_norm", cfg.train.max_grad_norm >= 0, "0 for none, or more"),
        ("train.advantage_clip", cfg.train.advantage_clip >= 0, "0 for none, or more"),
        ("train.momentum", 0 <= cfg.train.momentum < 1, "at least 0 and below 1"),
        ("train.reward_scale", cfg.train.reward_scale >= 0, "0 for auto, or more"),
        ("train.norm_samples", cfg.train.norm_samples >= 0, "0 for never, or more"),
        ("train.exp_prob_begin", 0 <= cfg.train.exp_prob_begin <= 1, "between 0 and 1"),
        ("train.exp_prob_end", 0 <= cfg.train.exp_prob_end <= 1, "between 0 and 1"),
        ("train.exp_anneal_samples", cfg.train.exp_anneal_samples >= 0, "0 for never, or more"),
        ("eval.num_envs", cfg.eval.num_envs >= 0, "0 for auto, or more"),
        ("export.clips", cfg.export.clips >= 0, "0 for none, or more"),
        ("eval.termination_distance", cfg.eval.termination_distance > 0, "above 0 m"),
        ("eval.videos", cfg.eval.videos >= 0, "0 or more"),
        ("eval.video_interval", cfg.eval.video_interval >= 0, "0 for none, or more"),
        ("play.envs", cfg.play.envs >= 1, "1 or more"),
        ("play.port", 0 <= cfg.play.port < 65536, "0 for any, or a port below 65536"),
        ("sweep.trials", cfg.sweep.trials >= 1, "1 or more"),
        ("sweep.workers", cfg.sweep.workers >= 0, "0 for auto, or more"),
        ("sweep.max_cost", cfg.sweep.max_cost >= 0, "0 for any, or more"),
        ("sweep.retries", cfg.sweep.retries >= 0, "0 or more"),
        ("sweep.points", cfg.sweep.points >= 0, "0 for auto, or more"),
        ("sweep.confirm", cfg.sweep.confirm >= 0, "0 for never, or more"),
    )
    for option, good, wanted in rules:
        if not good:
            section, name = option.split(".")
            value = getattr(getattr(cfg, section), name)
            raise InputError(f"--{option.removeprefix('base.')}", f"{value!r} is out of range", f"use {wanted}")
    horizon, segment = cfg.train.horizon, cfg.train.segment
    if cfg.policy.kind != "mlp" and horizon % segment:
        fault = f"{horizon} is no multiple of --train.segment {segment}"
        raise InputError("--train.horizon", fault, "recurrent policies need one")
    _check_style(cfg)
    check_game(cfg)
    _check_learner(cfg.train)


def _check_learner(train: TrainConfig) -> None:
    """Refuse options of one way of learning that the other has not."""
    one_way = {
        "exp_prob_begin": train.exp_prob_begin < 1,
        "exp_prob_end": train.exp_prob_end < 1,
        "advantage_clip": train.advantage_clip > 0,
        "action_coef": train.action_coef != 0,
    }
    for name, given in ({} if train.separate else one_way).items():
        if given:
            fault = f"{getattr(train, name)!r} is an option of --train.separate"
            raise InputError(f"--train.{name}", fault, "use --train.separate true")
    if train.separate and train.l2_init_coef:
        raise InputError("--train.l2_init_coef", "is no option of --train.separate", "leave it out")


def _check_style(cfg: Config) -> None:
    """Refuse combinations of task and discriminator that mean nothing."""
    env, style = cfg.env, cfg.style
    if env.task == "amp" and env.action_mode == "reference":
        fault = "adds actions to a reference, which the task amp has not"
        raise InputError("--env.action_mode reference", fault, "use --config configs/amp.ini, or absolute")
    if env.task == "amp" and style.kind == "add":
        fault = "judges the difference from a reference, which the task amp has not"
        raise InputError("--style.kind add", fault, "use it with --env.task tracking --env.use_amp_obs true")
    if style.kind == "add" and style.steps > 1:
        raise InputError("--style.steps", f"{style.steps} with --style.kind add", "use 1: it judges single steps")
    if env.task != "amp" and env.state_init in ("default", "hybrid"):
        fault = "starts away from the clip, which is a failure at once"
        raise InputError(f"--env.state_init {env.state_init}", fault, "use random or start")
