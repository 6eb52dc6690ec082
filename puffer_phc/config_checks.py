"""Options that cannot work are refused before anything is done."""

from __future__ import annotations

import math
import typing
from dataclasses import fields

from puffer_phc.config import Config, EnvConfig, EvalConfig, RobotConfig, RobotKind, SweepConfig, TrainConfig
from puffer_phc.envs.deepmimic import DeepMimicConfig
from puffer_phc.envs.rewards import RewardConfig
from puffer_phc.envs.scene import Loop
from puffer_phc.errors import InputError
from puffer_phc.game.options import check_game
from puffer_phc.policies.actor_critic import PolicyConfig
from puffer_phc.robots.amp_humanoid import ActionBounds, GainSet
from puffer_phc.robots.robot import Integrator
from puffer_phc.robots.smpl import Feet
from puffer_phc.training.amp import StyleConfig
from puffer_phc.viewers.options import PlayConfig

Rules = tuple[tuple[str, bool, str], ...]
"""Name of an option, whether its value is good, and what would be."""
_NEVER_NEGATIVE = {
    "train": [
        "final_kl",
        "eval_interval",
        "checkpoint_interval",
        "clip",
        "value_clip",
        "value_coef",
        "entropy_coef",
        "bound_coef",
        "l2_init_coef",
        "action_coef",
        "action_bound",
        "learning_rate",
        "min_learning_rate",
        "max_learning_rate",
        "target_kl",
        "warmup_updates",
    ],
    "style": ["style_weight", "reward_scale", "loss_weight", "logit_reg", "grad_penalty", "weight_decay"],
    "reward": [item.name for item in fields(RewardConfig)],
    "deepmimic": [item.name for item in fields(DeepMimicConfig) if item.name.startswith(("w_", "k_"))],
    "robot": ["kd_scale"],
}


def check(cfg: Config) -> None:
    """Refuse values that cannot work, naming the option.

    Raises:
        InputError: one is out of range, or does not go with others.
    """
    _check_numbers(cfg)
    _check_ranges(cfg)
    horizon, segment = cfg.train.horizon, cfg.train.segment
    if cfg.policy.kind != "mlp" and horizon % segment:
        fault = f"{horizon} is no multiple of --train.segment {segment}"
        raise InputError("--train.horizon", fault, "recurrent policies need one")
    _check_style(cfg)
    check_game(cfg)
    _check_learner(cfg.train)


def _check_numbers(cfg: Config) -> None:
    """Refuse what is no number, and what is negative though it means a size, a weight or a time."""
    for section in fields(cfg):
        options, never_negative = getattr(cfg, section.name), _NEVER_NEGATIVE.get(section.name, ())
        for name, value in vars(options).items():
            option = f"--{name}" if section.name == "base" else f"--{section.name}.{name}"
            if isinstance(value, float) and math.isnan(value):
                raise InputError(option, "nan is no number", "give one")
            if name in never_negative and value < 0:
                raise InputError(option, f"{value!r} is out of range", "use 0 or more")


def _check_ranges(cfg: Config) -> None:
    """Refuse values that are wrong whatever the other sections say."""
    sections = {
        "base": (("threads", cfg.base.threads >= 0, "0 for all cores, or more"),),
        "env": _env_rules(cfg.env),
        "deepmimic": _deepmimic_rules(cfg.deepmimic),
        "style": _style_rules(cfg.style),
        "robot": _robot_rules(cfg.robot),
        "policy": _policy_rules(cfg.policy),
        "train": _train_rules(cfg.train),
        "eval": _eval_rules(cfg.eval),
        "export": (("clips", cfg.export.clips >= 0, "0 for none, or more"),),
        "play": _play_rules(cfg.play),
        "sweep": _sweep_rules(cfg.sweep),
    }
    for section, rules in sections.items():
        for name, good, wanted in rules:
            if not good:
                option = name if section == "base" else f"{section}.{name}"
                fault = f"{getattr(getattr(cfg, section), name)!r} is out of range"
                raise InputError(f"--{option}", fault, f"use {wanted}")


def _env_rules(env: EnvConfig) -> Rules:
    return (
        ("num_envs", env.num_envs >= 0, "0 for auto, or more"),
        ("termination_distance", env.termination_distance > 0, "above 0 m"),
        ("adaptive", 0 <= env.adaptive < 1, "at least 0 and below 1"),
        ("ema", 0 < env.ema <= 1, "above 0 and at most 1"),
        ("bin_seconds", env.bin_seconds > 0, "above 0 s"),
        ("smoothing", 0 <= env.smoothing < 1, "at least 0 and below 1"),
        ("episode_steps", env.episode_steps >= 2, "2 or more"),
        ("goal_steps", env.goal_steps >= 1, "1 or more"),
        ("default_share", 0 <= env.default_share <= 1, "between 0 and 1"),
        ("run_share", 0 <= env.run_share <= 1, "between 0 and 1"),
    )


def _deepmimic_rules(deepmimic: DeepMimicConfig) -> Rules:
    # Flags and ini files know what is allowed here and there below; a checkpoint's options may be anything.
    loops = typing.get_args(Loop)
    return (
        ("loop", deepmimic.loop in loops, " or ".join(loops)),
        ("frame", deepmimic.frame in ("global", "heading"), "global or heading"),
        ("tar_obs_steps", min(deepmimic.tar_obs_steps, default=0) >= 1, "some steps, of 1 or more each"),
        ("termination_distance", deepmimic.termination_distance > 0, "above 0 m"),
    )


def _style_rules(style: StyleConfig) -> Rules:
    most_fresh = style.demo_buffer or math.inf
    return (
        ("steps", style.steps >= 0, "0 for auto, or more"),
        ("hidden", all(width >= 1 for width in style.hidden), "widths of 1 or more"),
        ("learning_rate", style.learning_rate > 0, "above 0"),
        ("batch", style.batch >= 0, "0 for auto, or more"),
        ("demo_buffer", style.demo_buffer >= 0, "0 for auto, or more"),
        ("demo_fresh", style.demo_fresh <= most_fresh, "at most --style.demo_buffer"),
        ("replay_buffer", style.replay_buffer >= 0, "0 for auto, or more"),
        ("replay_keep", 0 <= style.replay_keep <= 1, "between 0 and 1"),
    )


def _robot_rules(robot: RobotConfig) -> Rules:
    integrators, kinds, gains = (typing.get_args(kind) for kind in (Integrator, RobotKind, GainSet))
    bounds, feet = typing.get_args(ActionBounds), typing.get_args(Feet)
    return (
        ("integrator", robot.integrator in integrators, " or ".join(integrators)),
        ("timestep", robot.timestep > 0, "above 0 s"),
        ("substeps", robot.substeps >= 1, "1 or more"),
        ("iterations", robot.iterations >= 1, "1 or more"),
        ("line_search_iterations", robot.line_search_iterations >= 1, "1 or more"),
        ("max_contacts", robot.max_contacts >= 0, "0 for auto, or more"),
        ("max_rows", robot.max_rows >= 0, "0 for auto, or more"),
        ("kind", robot.kind in kinds, " or ".join(kinds)),
        ("gains", robot.gains in gains, " or ".join(gains)),
        ("action_bounds", robot.action_bounds in bounds, "isaac or mimickit"),
        ("mjcf", bool(robot.mjcf) == (robot.kind == "mjcf"), "a file with --robot.kind mjcf, else none"),
        ("feet", robot.feet in feet, " or ".join(feet)),
        ("kp_scale", robot.kp_scale > 0, "above 0"),
    )


def _policy_rules(policy: PolicyConfig) -> Rules:
    return (
        ("hidden", all(width >= 1 for width in policy.hidden), "widths of 1 or more"),
        ("lstm_size", policy.lstm_size >= 1, "1 or more"),
    )


def _train_rules(train: TrainConfig) -> Rules:
    return (
        ("minibatches", train.minibatches >= 1, "1 or more"),
        ("epochs", train.epochs >= 0, "0 for auto, or more"),
        ("gamma", 0 <= train.gamma < 1, "at least 0 and below 1"),
        ("gae_lambda", 0 <= train.gae_lambda <= 1, "between 0 and 1"),
        ("horizon", train.horizon >= 0, "0 for auto, or more"),
        ("total_steps", train.total_steps >= 0, "0 for auto, or more"),
        ("average", 0 <= train.average < 1, "at least 0 and below 1"),
        ("segment", train.segment >= 1, "1 or more"),
        ("critic_epochs", train.critic_epochs >= 1, "1 or more"),
        ("critic_minibatches", train.critic_minibatches >= 1, "1 or more"),
        ("critic_learning_rate", train.critic_learning_rate > 0, "above 0"),
        ("max_grad_norm", train.max_grad_norm >= 0, "0 for none, or more"),
        ("advantage_clip", train.advantage_clip >= 0, "0 for none, or more"),
        ("momentum", 0 <= train.momentum < 1, "at least 0 and below 1"),
        ("reward_scale", train.reward_scale >= 0, "0 for auto, or more"),
        ("norm_samples", train.norm_samples >= 0, "0 for never, or more"),
        ("exp_prob_begin", 0 <= train.exp_prob_begin <= 1, "between 0 and 1"),
        ("exp_prob_end", 0 <= train.exp_prob_end <= 1, "between 0 and 1"),
        ("exp_anneal_samples", train.exp_anneal_samples >= 0, "0 for never, or more"),
    )


def _eval_rules(eval: EvalConfig) -> Rules:
    return (
        ("num_envs", eval.num_envs >= 0, "0 for auto, or more"),
        ("termination_distance", eval.termination_distance > 0, "above 0 m"),
        ("videos", eval.videos >= 0, "0 or more"),
        ("video_interval", eval.video_interval >= 0, "0 for none, or more"),
    )


def _play_rules(play: PlayConfig) -> Rules:
    return (
        ("envs", play.envs >= 1, "1 or more"),
        ("port", 0 <= play.port < 65536, "0 for any, or a port below 65536"),
    )


def _sweep_rules(sweep: SweepConfig) -> Rules:
    return (
        ("trials", sweep.trials >= 1, "1 or more"),
        ("workers", sweep.workers >= 0, "0 for auto, or more"),
        ("max_cost", sweep.max_cost >= 0, "0 for any, or more"),
        ("retries", sweep.retries >= 0, "0 or more"),
        ("points", sweep.points >= 0, "0 for auto, or more"),
        ("confirm", sweep.confirm >= 0, "0 for never, or more"),
    )


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
