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

from puffer_phc.config import Config, resolve, resolve_device
from puffer_phc.errors import InputError
from puffer_phc.evaluation.evaluator import Evaluator, Recording
from puffer_phc.evaluation.report import write_atomic
from puffer_phc.evaluation.style_evaluator import StyleEvaluator
from puffer_phc.factory import make_env, make_library, make_robot
from puffer_phc.game.joint_policy import JointPolicy
from puffer_phc.game.options import GameConfig
from puffer_phc.game.partner import load_human
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.policies.discriminator import Discriminator
from puffer_phc.training import checkpoint

INTACT = "intact"
"""What the table calls a human that moves its whole body itself."""


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


class Stage:
    """Where all humans meet one prosthesis: its body, task and clips.

    Attributes:
        robot: with the prosthesis's masses, gains and limits.
        dofs: what the prosthesis moves.
    """

    def __init__(self, cfg: Config, prosthesis: Path | None, device: torch.device, episodes: int) -> None:
        """``prosthesis`` is a game's checkpoint, made with options ``cfg``; None for none."""
        self.cfg = cfg = resolve(cfg, device)
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
        self._env, self._learner, self._judge = env, None, None  # type: ignore[var-annotated]
        self.dofs: list[int] = []
        if prosthesis is not None:
            data = checkpoint.load(prosthesis)
            joint = checkpoint.load_policy(data, self.robot.name, env.num_obs, env.num_actions, str(prosthesis))
            if not isinstance(joint, JointPolicy):
                raise InputError(prosthesis, "holds no prosthesis", "name a checkpoint of a game (--game.mode)")
            self._learner, self.dofs = joint.learner.to(device), [int(dof) for dof in data["game"]["dofs"]]
            self._judge = self._judge_of(data, prosthesis)

    def meet(self, human: Path) -> ActorCritic:
        """The policy of a human with this stage's prosthesis.

        Raises:
            InputError: the human is of another body or observation.
        """
        policy = load_human(str(human), self.cfg, self.robot, self._env.num_obs)[0].to(self._env.device)
        joint = policy if self._learner is None else JointPolicy(policy, self._learner, self.dofs)
        self._episodes.discriminator = self._judge_of(checkpoint.load(human), human) or self._judge
        return joint.to(self._env.device)

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

    def _judge_of(self, data: dict[str, Any], where: Path) -> Discriminator | None:
        """The discriminator in a checkpoint, if this stage's motion is shown to one of its kind."""
        style = self._env.style
        if style is None or checkpoint.config_of(data, where).style.kind != self.cfg.style.kind:
            return None
        judge = checkpoint.load_discriminator(data, style.size, str(where))
        return judge.to(self._env.device) if judge else None


def stages(
    humans: Sequence[Path],
    prostheses: Sequence[tuple[str, Path]],
    device_name: str = "auto",
    episodes: int = 256,
    motion_file: str = "",
    seed: int = 1,
) -> list[tuple[str, Stage]]:
    """The intact body, with the first human's options, then that of each prosthesis, with its own, by label."""
    device = resolve_device(device_name)

    def options(path: Path) -> Config:
        cfg = checkpoint.config_of(checkpoint.load(path), path)
        file = motion_file or cfg.env.motion_file
        return replace(cfg, base=replace(cfg.base, seed=seed), env=replace(cfg.env, motion_file=file))

    whole = replace(options(humans[0]), game=GameConfig())
    found = [(INTACT, Stage(whole, None, device, episodes))]
    return found + [(label, Stage(options(path), path, device, episodes)) for label, path in prostheses]


def pairs_table(results: Sequence[PairResult]) -> Table:
    """For a terminal; columns that nobody has a number for are left out."""
    table = Table(box=box.SIMPLE_HEAD)
    names = [item.name for item in fields(PairResult)]
    shown = [name for name in names if any(getattr(result, name) is not None for result in results)]
    for name in shown:
        table.add_column(name.replace("_", " "), justify="left" if name in ("human", "prosthesis") else "right")
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
