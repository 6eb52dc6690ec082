"""Any human with any prosthesis: who gets along with whom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.table import Table

from puffer_phc.config import BaseConfig, Config, EvalConfig, TrainConfig, resolve, resolve_device
from puffer_phc.errors import InputError
from puffer_phc.evaluation.evaluator import Evaluator, Recording
from puffer_phc.evaluation.report import write_atomic
from puffer_phc.evaluation.style_evaluator import StyleEvaluator
from puffer_phc.factory import make_env, make_library, make_robot
from puffer_phc.game.joint_policy import JointPolicy
from puffer_phc.game.options import GameConfig, team_reward
from puffer_phc.game.partner import load_human
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.policies.discriminator import Discriminator
from puffer_phc.training import checkpoint
from puffer_phc.training.amp import StyleConfig

INTACT = "intact"
"""What the table calls a human that moves its whole body itself."""
_NO_PROSTHESIS = ("holds no prosthesis", "name a checkpoint of a game (--game.mode)")
_SHOWN_STYLE = ("kind", "steps", "root", "reward_scale")  # what a discriminator sees and how its word is read


@dataclass(frozen=True)
class PairResult:
    """How one human did with one prosthesis; means are over episodes of the same starts for all pairs.

    Attributes:
        human, prosthesis: labels; the latter may be ``INTACT``.
        episodes: that were played, without exploration noise.
        steps: control steps of an episode, mean.
        falls: share of episodes that ended in failure.
        reward: of the task, per step.
        success: share of the clips that were followed from the first frame to the last; None where none are.
        error: mm, mean over bodies and frames of these clips.
        style_logit: what the human's discriminator, or else the prosthesis's, says; None without one.
        samples, seconds: of the training that made the prosthesis, or the human alone; None where not known.
    """

    human: str
    prosthesis: str
    episodes: int
    steps: float
    falls: float
    reward: float
    success: float | None = None
    error: float | None = None
    style_logit: float | None = None
    samples: int | None = None
    seconds: float | None = None


class Stage:
    """Where humans meet prostheses that share body, task and clips."""

    def __init__(self, cfg: Config, device: torch.device, episodes: int) -> None:
        """``cfg`` are options of a training on this stage, resolved."""
        self.cfg = cfg
        self.robot = make_robot(cfg)
        library = make_library(cfg, self.robot, device)
        env = make_env(cfg, self.robot, library, episodes, device, cfg.base.seed)
        longest = cfg.env.episode_steps
        self._tracking: Evaluator | None = None
        if cfg.env.task == "tracking":
            longest = max(1, math.ceil(float(library.duration.max()) / env.control_dt))
            clips = make_env(cfg, self.robot, library, min(cfg.eval.num_envs, library.num_clips), device, cfg.base.seed)
            self._tracking = Evaluator(clips, cfg.eval.termination_distance, cfg.train.capture)
        self._episodes = StyleEvaluator(env, longest, cfg.base.seed, cfg.train.capture, cfg.style.reward_scale)
        self._env = env

    def meet(self, human: Path, prosthesis: Path | None) -> ActorCritic:
        """The policy of a human with a prosthesis, or alone.

        Raises:
            InputError: one of them is of another body or observation, or the prosthesis is none.
        """
        env = self._env
        policy = load_human(str(human), self.cfg, self.robot, env.num_obs)[0].to(env.device)
        judge = self._judge_of(human)
        if prosthesis is not None:
            data = checkpoint.load(prosthesis)
            joint = checkpoint.load_policy(data, self.robot.name, env.num_obs, env.num_actions, str(prosthesis))
            if not isinstance(joint, JointPolicy):
                raise InputError(prosthesis, *_NO_PROSTHESIS)
            dofs = [int(dof) for dof in data["game"]["dofs"]]
            policy = JointPolicy(policy, joint.learner.to(env.device), dofs).to(env.device)
            judge = judge or self._judge_of(prosthesis)
        self._episodes.discriminator = judge
        return policy

    def measure(self, policy: ActorCritic, human: str, prosthesis: str) -> PairResult:
        """What became of a policy of :meth:`meet`."""
        episodes, _ = self._episodes.run(policy)
        tracked: dict[str, Any] = self._tracking.run(policy)[0] if self._tracking else {}
        return PairResult(
            human,
            prosthesis,
            episodes["episodes"],
            episodes["episode_steps"],
            episodes["fall_rate"],
            episodes["task_reward"],
            tracked.get("success_rate"),
            tracked.get("mpjpe_all"),
            episodes["style_logit"],
        )

    def record(self, policy: ActorCritic) -> Recording:
        """The first clip, or an episode, for a video."""
        return self._tracking.record(policy, 0) if self._tracking else self._episodes.record(policy)

    def _judge_of(self, path: Path) -> Discriminator | None:
        """The discriminator in a checkpoint, if this stage's motion is shown to one of its kind."""
        style, data = self._env.style, checkpoint.load(path)
        if style is None or checkpoint.config_of(data, path).style.kind != self.cfg.style.kind:
            return None
        judge = checkpoint.load_discriminator(data, style.size, str(path))
        return judge.to(self._env.device) if judge else None


def stages(
    humans: Sequence[Path],
    prostheses: Sequence[tuple[str, Path]],
    device_name: str = "auto",
    episodes: int = 256,
    motion_file: str = "",
    seed: int = 1,
) -> list[tuple[str, Path | None, Stage]]:
    """The intact body, with the first human's options, then that of each prosthesis, with its own, by label.

    Those with the same body, task and clips are on one stage: making one takes a GPU many seconds.

    Raises:
        InputError: what is named a prosthesis is none.
    """
    device = resolve_device(device_name)
    made: dict[str, Stage] = {}

    def stage_of(path: Path, intact: bool) -> Stage:
        data = checkpoint.load(path)
        if not (intact or data.get("game")):
            raise InputError(path, *_NO_PROSTHESIS)
        cfg = checkpoint.config_of(data, path)
        env = replace(cfg.env, motion_file=motion_file or cfg.env.motion_file)
        cfg = replace(cfg, base=replace(cfg.base, seed=seed), env=env, game=GameConfig() if intact else cfg.game)
        cfg = resolve(cfg, device)
        key = repr(_stage_options(cfg))
        if key not in made:
            made[key] = Stage(cfg, device, episodes)
        return made[key]

    found: list[tuple[str, Path | None, Stage]] = [(INTACT, None, stage_of(humans[0], True))]
    return found + [(label, path, stage_of(path, False)) for label, path in prostheses]


def _stage_options(cfg: Config) -> Config:
    """``cfg`` without what makes no difference to body, task and clips."""
    game, survival = cfg.game, cfg.game.on and team_reward(cfg) == "survival"
    fit = replace(game, mode="off", human_checkpoint="", train_human=False, condition_critic=True, reward="auto")
    fit = replace(fit if game.refitted else GameConfig(), reward="survival" if survival else "auto")
    style = replace(StyleConfig(), **{name: getattr(cfg.style, name) for name in _SHOWN_STYLE})
    return Config(
        base=BaseConfig(seed=cfg.base.seed, threads=cfg.base.threads),
        env=replace(cfg.env, num_envs=0, use_amp_obs=cfg.env.use_amp_obs or cfg.env.task == "amp"),
        robot=cfg.robot,
        reward=cfg.reward,
        deepmimic=cfg.deepmimic,
        style=style,
        train=TrainConfig(capture=cfg.train.capture),
        eval=EvalConfig(num_envs=cfg.eval.num_envs, termination_distance=cfg.eval.termination_distance),
        game=fit,
    )


def pairs_table(results: Sequence[PairResult]) -> Table:
    """For a terminal; effort, and columns that nobody has a number for, are left out."""
    table = Table(box=box.SIMPLE_HEAD)
    names = [item.name for item in fields(PairResult) if item.name not in ("samples", "seconds")]
    shown = [name for name in names if any(getattr(result, name) is not None for result in results)]
    for name in shown:
        label = name in ("human", "prosthesis")
        table.add_column(name.replace("_", " "), justify="left" if label else "right", no_wrap=label)
    for result in results:
        table.add_row(*(_text(getattr(result, name)) for name in shown))
    return table


def write_pairs(path: Path, results: Sequence[PairResult]) -> None:
    """Write a table of tab-separated values.

    Raises:
        InputError: it cannot be written.
    """
    names = [item.name for item in fields(PairResult)]
    rows = ["\t".join("" if value is None else str(value) for value in asdict(result).values()) for result in results]
    write_atomic(path, "\n".join(["\t".join(names), *rows]) + "\n")


def _text(value: str | float | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:,.3f}".rstrip("0").rstrip(".")
