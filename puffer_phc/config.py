"""Every option of the program.

The dataclasses are the single source: names, types, defaults and help. ``config.ini`` repeats the defaults for people
to edit, ``--config`` lays further files over it (``config_files.py``), and flags (``--section.option``) win over both.
A value of 0, or an empty tuple, where the help says *auto*, is chosen by :func:`resolve` for the device; what cannot
work is refused by ``config_checks.py``.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from puffer_phc.envs.actions import ActionConfig
from puffer_phc.envs.deepmimic import DeepMimicConfig
from puffer_phc.envs.humanoid_phc import EpisodeConfig
from puffer_phc.envs.rewards import RewardConfig
from puffer_phc.envs.style_task import StyleTaskConfig
from puffer_phc.envs.tracking import TrackingConfig
from puffer_phc.errors import InputError
from puffer_phc.game.options import GameConfig, with_team_reward
from puffer_phc.motions.library import HeightFix, Storage, Velocity
from puffer_phc.motions.sampler import SamplingConfig
from puffer_phc.policies.actor_critic import PHC_HIDDEN, PolicyConfig
from puffer_phc.robots.amp_humanoid import ActionBounds, GainSet
from puffer_phc.robots.robot import PhysicsOptions
from puffer_phc.robots.smpl import Feet
from puffer_phc.training.amp import Root, StyleConfig
from puffer_phc.training.ppo import PPOConfig
from puffer_phc.viewers.options import PlayConfig

RobotKind = Literal["smpl", "amp_humanoid", "mjcf"]
TaskName = Literal["tracking", "amp", "deepmimic"]
Mode = Literal["train", "play", "eval", "export", "sweep"]
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
        capture: record control steps on a GPU as one CUDA graph; false runs the same code step by step, for debugging.
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
        "style": {
            "hidden": (256, 128) if cpu else (1024, 512),
            "batch": 256 if cpu else 4096,
            "demo_buffer": 20_000 if cpu else 200_000,
            "replay_buffer": 100_000 if cpu else 1_000_000,
        },
    }
    sections = {}
    for name, defaults in auto.items():
        section = getattr(cfg, name)
        sections[name] = dataclasses.replace(
            section, **{key: value for key, value in defaults.items() if not getattr(section, key)}
        )
    return with_team_reward(_with_style(dataclasses.replace(cfg, **sections), cpu))


def _with_style(cfg: Config, cpu: bool) -> Config:
    """HumanoidAMP's motions where the task is amp, PHC's where clips are tracked, ADD's single steps."""
    style, tracking = cfg.style, cfg.env.task != "amp"
    steps = 1 if style.kind == "add" else (10 if tracking else 2)
    root: Root = "heading" if tracking else "global"
    weight = 0.0 if cfg.env.task == "amp" and cfg.env.goal == "alive" and style.kind != "off" else 1.0
    style = dataclasses.replace(
        style,
        steps=style.steps or steps,
        root=root if style.root == "auto" else style.root,
        demo_fresh=style.demo_fresh if style.demo_fresh >= 0 else min(64 if cpu else 512, style.demo_buffer),
        task_weight=weight if style.task_weight < 0 else style.task_weight,
    )
    return dataclasses.replace(cfg, style=style)


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
