"""Every option of the program.

The dataclasses are the single source: names, types, defaults and help. ``config.ini`` repeats the defaults for people
to edit, ``--config`` lays further files over it, and flags (``--section.option``) win over both. A value of 0, or an
empty tuple, where the help says *auto*, is chosen by :func:`resolve` for the device.
"""

from __future__ import annotations

import configparser
import dataclasses
import types
import typing
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
import tyro

from puffer_phc.envs.actions import ActionConfig
from puffer_phc.envs.deepmimic import DeepMimicConfig
from puffer_phc.envs.humanoid_phc import EpisodeConfig
from puffer_phc.envs.rewards import RewardConfig
from puffer_phc.envs.scene import Loop
from puffer_phc.envs.style_task import StyleTaskConfig
from puffer_phc.envs.tracking import TrackingConfig
from puffer_phc.errors import InputError
from puffer_phc.game.options import GameConfig, check_game, with_team_reward
from puffer_phc.motions.library import HeightFix, Storage, Velocity
from puffer_phc.motions.sampler import SamplingConfig
from puffer_phc.old_names import remedy
from puffer_phc.policies.actor_critic import PHC_HIDDEN, PolicyConfig
from puffer_phc.robots.amp_humanoid import ActionBounds, GainSet
from puffer_phc.robots.robot import Integrator, PhysicsOptions
from puffer_phc.robots.smpl import Feet
from puffer_phc.training.amp import Root, StyleConfig
from puffer_phc.training.ppo import PPOConfig
from puffer_phc.viewers.options import PlayConfig

RobotKind = Literal["smpl", "amp_humanoid", "mjcf"]
TaskName = Literal["tracking", "amp", "deepmimic"]
Mode = Literal["train", "play", "eval", "export", "sweep"]
Section = TypeVar("Section")
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class BaseConfig:
    """What to do, where.

    Attributes:
        mode: train a policy, play one (a video, a web page or a window), evaluate one, export one, or
            sweep over options.
        device: auto, cpu, cuda or cuda:N.
        seed: of everything random.
        threads: processor threads of simulation and learner; 0 for all cores.
        checkpoint: policy to start from, play or evaluate; a checkpoint file or a run folder.
        resume: run folder to go on with, exactly where it stopped.
        output: folder that run folders are made in.
        name: name of the run folder; empty for one made of motion, date and time.
        track: also log to Weights & Biases (needs the extra "track"; offline without a login).
        dashboard: draw a live dashboard when the output is a terminal.
    """

    mode: Mode = "train"
    device: str = "auto"
    seed: int = 1
    threads: int = 0
    checkpoint: Annotated[str, tyro.conf.arg(aliases=["-c"])] = ""
    resume: str = ""
    output: str = "experiments"
    name: str = ""
    track: bool = False
    dashboard: bool = True


@dataclass(frozen=True)
class EnvConfig(ActionConfig, EpisodeConfig, TrackingConfig, StyleTaskConfig, SamplingConfig):
    """Motions and environment.

    Attributes:
        task: tracking follows the clips; amp moves in their style, without following any (configs/amp.ini); deepmimic
            performs them as MimicKit's DeepMimic does (configs/deepmimic.ini).
        use_amp_obs: keep what a discriminator of motions sees with the tracking task, too; [style] says what it does.
        motion_file: a motion file, a folder of them, a glob pattern, a manifest (scripts/make_manifest.py)
            or a packed data set (scripts/pack_motions.py).
        split: part of a data set that is described by a manifest (.yaml), such as train; all is every file.
        num_envs: humanoids simulated at once (on each GPU); 0 is auto.
        height_fix: how clips are put on the floor: contact (nothing penetrates), first_frames (PHC) or off.
        storage: frames in full (fastest), compact (a quarter of the memory) or auto (compact from ten hours on).
        shard: on several GPUs, give each its own part of the clips instead of all of them.
        velocity: of the clips: smooth (PHC: smoothed, interpolated) or forward (MimicKit: the step to the next frame).
    """

    task: TaskName = "tracking"
    use_amp_obs: bool = False
    motion_file: str = "sample_data/walk.npz"
    split: str = "all"
    num_envs: int = 0
    height_fix: HeightFix = "contact"
    storage: Storage = "auto"
    shard: bool = False
    velocity: Velocity = "smooth"


@dataclass(frozen=True)
class RobotConfig(PhysicsOptions):
    """The humanoid and its physics; see ``docs/robots.md``.

    Attributes:
        kind: smpl (24 bodies, 69 dofs), amp_humanoid (15 bodies, 28 dofs) or mjcf (a file of yours).
        mjcf: (kind mjcf) MJCF file of one humanoid on a free joint.
        settings: (kind mjcf) YAML file with gains, standing pose, action map and named bodies.
        gains: (kind amp_humanoid) isaac (Isaac Gym's AMP) or mimickit (stiffer, with torque limits).
        action_bounds: (kind amp_humanoid) joint targets that absolute actions span: isaac (half a turn each way) or
            mimickit (1.2 times the joint's limits).
        kp_scale: multiplies every joint stiffness.
        kd_scale: multiplies every joint damping.
        self_collision: whether body parts collide with each other.
        feet: (kind smpl) collision shapes of the feet: boxes (PHC's) or capsules along their sides.
    """

    kind: RobotKind = "smpl"
    mjcf: str = ""
    settings: str = ""
    gains: GainSet = "isaac"
    action_bounds: ActionBounds = "isaac"
    kp_scale: float = 1.0
    kd_scale: float = 1.0
    self_collision: bool = True
    feet: Feet = "boxes"


@dataclass(frozen=True)
class TrainConfig(PPOConfig):
    """Training run and PPO update.

    Attributes:
        epochs: passes over each rollout; 0 is auto.
        horizon: control steps per environment and rollout; 0 is auto.
        total_steps: stop after this many samples; 0 is auto.
        time_limit: stop after this many seconds of training; 0 is auto (CPU: three minutes), negative is never.
        average: decay, per update, of the running mean of the weights that is evaluated and kept; 0 keeps the latest.
        final_kl: share of target_kl left at the end of the run; it falls linearly, so that the policy settles.
        eval_interval: seconds between evaluations of all clips; 0 for none but the last.
        checkpoint_interval: seconds between checkpoints.
        capture: record a control step on a GPU as one CUDA graph; false runs the same code step by step, for debugging.
        reward_scale: multiplies rewards in learning; 0 is auto: 1 - gamma.
        norm_samples: samples after which the observations' statistics stay as they are; 0 for never.
        exp_prob_begin, exp_prob_end: probability that an action is a sample and not the mean, at first and at last;
            below 1 only with separate.
        exp_anneal_samples: samples over which it goes from the one to the other; 0 stays with the first.
    """

    epochs: int = 0
    horizon: int = 0
    total_steps: int = 0
    time_limit: float = 0.0
    average: float = 0.95
    final_kl: float = 0.2
    eval_interval: float = 20.0
    checkpoint_interval: float = 60.0
    capture: bool = True
    reward_scale: float = 0.0
    norm_samples: int = 0
    exp_prob_begin: float = 1.0
    exp_prob_end: float = 1.0
    exp_anneal_samples: int = 0


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation: every clip once, from its first frame to its last, without exploration noise.

    Attributes:
        num_envs: clips played at once; 0 is auto.
        termination_distance: m; a clip has failed when the mean distance of hands-and-toes-free bodies exceeds this.
        video: film a clip at the end of training and show the hardest clips in reports; play mode always films.
        video_clip: name or number of the clip to film or play; empty for the first.
        protocol: full clips, or puffer-phc's crops of at most 10 s from a random start (puffer).
        motion_file: clips to evaluate on, while training too, as env.motion_file; empty for the training clips.
        split: part of a manifest to evaluate on; empty for env.split.
        categories: CSV file with columns name and category; empty for index.csv beside the clips, if there is one.
        videos: film so many of the hardest clips for the report.
        video_interval: seconds of training between short videos of how the policy does; 0 for none.
    """

    num_envs: int = 0
    termination_distance: float = 0.5
    video: bool = True
    video_clip: str = ""
    protocol: Literal["full", "puffer"] = "full"
    motion_file: str = ""
    split: str = ""
    categories: str = ""
    videos: int = 0
    video_interval: float = 300.0


@dataclass(frozen=True)
class ExportConfig:
    """A policy as files that run without this program; see ``docs/deployment.md``.

    Attributes:
        output: folder to write; empty for the folder export in the run's.
        clips: how many of the motions are exported and evaluated along, at most, for scripts/sim2sim.py; 0 for none.
    """

    output: str = ""
    clips: int = 20


@dataclass(frozen=True)
class SweepConfig:
    """Hyperparameter search; what to search is told in ini files, one section for each parameter.

    Attributes:
        method: carbs or protein (both weigh score against cost), or Optuna's random, tpe or gp.
        metric: what to improve, any name in metrics.jsonl; the last value of a run counts. Where many clips are
            trained, eval/success_rate says more.
        goal: minimize or maximize the metric.
        cost: what a run costs: seconds of training or steps (samples).
        trials: runs in all, failed ones included; the same command goes on until there are so many.
        workers: runs at once; 0 is one for each GPU, or one. On GPUs each has its own.
        storage: URL of Optuna's database (sqlite:///FILE, postgresql://...) or a file ending in .journal; empty is
            study.db in the sweep's folder.
        max_cost: predicted cost that no suggestion of carbs or protein may reach; 0 for any.
        retries: times that the parameters of a killed run are tried again.
        reference: carbs as published, without our improvements.
        points: observations that carbs and protein take from the learning curve of each run, its end included, where
            the length of runs is searched; 0 is auto: 5 if train.final_kl is 1, otherwise 1.
        early_stop: stop runs whose learning curve is hopeless compared with those of finished runs.
        start_from_default: the first trial is the default configuration, to compare the best with.
        confirm: times that best and default run again with new seeds when all trials are done; 0 for never.
    """

    method: Literal["carbs", "protein", "random", "tpe", "gp"] = "carbs"
    metric: str = "eval/mpjpe_all"
    goal: Literal["minimize", "maximize"] = "minimize"
    cost: Literal["seconds", "steps"] = "seconds"
    trials: int = 64
    workers: int = 0
    storage: str = ""
    max_cost: float = 0.0
    retries: int = 2
    reference: bool = False
    points: int = 0
    early_stop: bool = False
    start_from_default: bool = True
    confirm: int = 3


@dataclass(frozen=True)
class Config:
    """All options, by section."""

    base: Annotated[BaseConfig, tyro.conf.arg(name="")] = field(default_factory=BaseConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    robot: RobotConfig = field(default_factory=RobotConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    deepmimic: DeepMimicConfig = field(default_factory=DeepMimicConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    style: StyleConfig = field(default_factory=StyleConfig)
    game: GameConfig = field(default_factory=GameConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    play: PlayConfig = field(default_factory=PlayConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is CUDA where there is one.

    Raises:
        InputError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError("--device", f"{name!r} is no device", "use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError("--device", f"{name!r} is not supported", "use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device", f"{name!r} asked for, but torch {torch.__version__} finds no CUDA device", "use --device cpu"
        )
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())  # Warp wants the number
    return device


def resolve(cfg: Config, device: torch.device) -> Config:
    """``cfg`` with every *auto* replaced: a small network and few environments on a CPU, PHC's sizes on a GPU."""
    cpu = device.type == "cpu"
    auto: dict[str, dict[str, Any]] = {
        "env": {"num_envs": 512 if cpu else 8192},
        "policy": {"hidden": (256, 256) if cpu else PHC_HIDDEN},
        "train": {
            "epochs": 1 if cpu else 2,
            "horizon": 8,
            "total_steps": 500_000_000,
            "time_limit": 180.0 if cpu else -1.0,
        },
        "eval": {"num_envs": 64 if cpu else 1024},
    }
    sections = {}
    for name, defaults in auto.items():
        section = getattr(cfg, name)
        sections[name] = dataclasses.replace(
            section, **{key: value for key, value in defaults.items() if not getattr(section, key)}
        )
    return with_team_reward(dataclasses.replace(cfg, style=_resolve_style(cfg), **sections))


def _resolve_style(cfg: Config) -> StyleConfig:
    """HumanoidAMP's motions where the task is amp, PHC's where clips are tracked, ADD's single steps."""
    style, tracking = cfg.style, cfg.env.task != "amp"
    steps = 1 if style.kind == "add" else (10 if tracking else 2)
    root: Root = "heading" if tracking else "global"
    weight = 0.0 if cfg.env.task == "amp" and cfg.env.goal == "alive" and style.kind != "off" else 1.0
    return dataclasses.replace(
        style,
        steps=style.steps or steps,
        root=root if style.root == "auto" else style.root,
        task_weight=weight if style.task_weight < 0 else style.task_weight,
    )


def load_ini(cfg: Config, path: Path) -> Config:
    """``cfg`` with the options of an ini file laid over it.

    Raises:
        InputError: the file is missing or no ini file, or names a section, an option or a value that does not exist.
    """
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#", ";"))
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "name an ini file that exists") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InputError(path, f"is no ini file ({error})", "write [section] and option = value lines") from None
    known = {item.name for item in dataclasses.fields(cfg)}
    sections = {}
    for name in parser.sections():
        if name.split(".")[0] == "sweep":
            continue
        if name not in known:
            raise InputError(path, f"unknown section [{name}]", f"use one of {', '.join(sorted(known))}")
        sections[name] = _update_section(getattr(cfg, name), dict(parser[name]), path, name)
    sweep = _update_section(cfg.sweep, _sweep_options(parser), path, "sweep")
    return dataclasses.replace(cfg, **sections, sweep=sweep)


def _sweep_options(parser: configparser.ConfigParser) -> dict[str, str]:
    """Options of ``[sweep]``, and of ``[sweep.metric]`` as in other sweeps' files.

    Unknown ones are left for the sweep to refuse, as are the sections of its parameters: training does not need them.
    """
    given = dict(parser["sweep"]) if parser.has_section("sweep") else {}
    metric = parser["sweep.metric"] if parser.has_section("sweep.metric") else {}
    given |= {option: metric[key] for key, option in (("name", "metric"), ("goal", "goal")) if key in metric}
    known = {item.name for item in dataclasses.fields(SweepConfig)}
    return {key: text for key, text in given.items() if key in known}


def _update_section(section: Section, options: dict[str, str], path: Path, name: str) -> Section:
    hints = typing.get_type_hints(type(section))
    values = {}
    for key, text in options.items():
        if key not in hints:
            told = remedy(key)
            if told:
                raise InputError(path, f"{key!r} in [{name}] {told[0]}", told[1])
            raise InputError(path, f"unknown option {key!r} in [{name}]", f"use one of {', '.join(sorted(hints))}")
        try:
            values[key] = parse_value(text, hints[key])
        except ValueError as error:
            raise InputError(path, f"[{name}] {key} = {text}: {error}", "correct the value") from None
    return dataclasses.replace(section, **values)  # type: ignore[type-var]


def parse_value(text: str, hint: Any) -> Any:
    """``text`` as a value of type ``hint``: bool, int, float, str, Literal, tuple[int, ...], or one of these or None.

    Raises:
        ValueError: it is none; the message says what was expected.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if text.lower() in ("none", ""):
            return None
        return parse_value(text, next(argument for argument in arguments if argument is not type(None)))
    if origin is Literal:
        if text not in arguments:
            raise ValueError(f"expected one of {', '.join(arguments)}")
        return text
    if origin is tuple:
        return tuple(parse_value(part, arguments[0]) for part in text.replace(",", " ").split())
    if hint is bool:
        lowered = text.lower()
        if lowered not in ("true", "false"):
            raise ValueError("expected true or false")
        return lowered == "true"
    if hint is int:
        try:
            return int(text.replace("_", ""))
        except ValueError:
            raise ValueError("expected a whole number") from None
    if hint is float:
        try:
            return float(text)
        except ValueError:
            raise ValueError("expected a number") from None
    return text


def to_ini(cfg: Config, leave_out: Collection[str] = ()) -> str:
    """The text of an ini file that :func:`load_ini` reads all options from, but for the sections left out."""
    lines = []
    for name, options in to_dict(cfg).items():
        if name not in leave_out:
            lines += [f"[{name}]", *(f"{key} = {_text_of(value)}" for key, value in options.items()), ""]
    return "\n".join(lines)


def _text_of(value: Any) -> str:
    """The inverse of :func:`parse_value`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def to_dict(cfg: Config) -> dict[str, dict[str, Any]]:
    """Plain dictionaries, for JSON and checkpoints."""
    return dataclasses.asdict(cfg)


def from_dict(data: dict[str, dict[str, Any]]) -> Config:
    """The inverse of :func:`to_dict`; options this version does not know are left out."""
    sections = {}
    for item in dataclasses.fields(Config):
        kind = typing.get_type_hints(Config)[item.name]
        known = {option.name for option in dataclasses.fields(kind)}
        values = {key: value for key, value in data.get(item.name, {}).items() if key in known}
        sections[item.name] = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    return Config(**sections)


def check(cfg: Config) -> None:
    """Refuse values that cannot work, naming the option.

    Raises:
        InputError: one is out of range.
    """
    integrators = typing.get_args(Integrator)  # flags and ini files know them; a checkpoint's options may be anything
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
        ("style.hidden", bool(cfg.style.hidden) and min(cfg.style.hidden) >= 1, "widths of 1 or more"),
        ("style.learning_rate", cfg.style.learning_rate > 0, "above 0"),
        ("style.batch", cfg.style.batch >= 1, "1 or more"),
        ("style.demo_buffer", cfg.style.demo_buffer >= 1, "1 or more"),
        ("style.demo_fresh", 0 <= cfg.style.demo_fresh <= cfg.style.demo_buffer, "between 0 and --style.demo_buffer"),
        ("style.replay_buffer", cfg.style.replay_buffer >= 1, "1 or more"),
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
