"""Options of the game, what they change elsewhere, and the combinations that mean nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from puffer_phc.errors import InputError

if TYPE_CHECKING:
    from puffer_phc.config import Config

GameMode = Literal["off", "sarl", "marl", "oracle"]
TeamReward = Literal["auto", "tracking", "survival", "style"]


@dataclass(frozen=True)
class GameConfig:
    """Several agents move one body; one of them learns beside a trained partner. See ``docs/game.md``.

    Attributes:
        mode: off; sarl (the partner is part of the environment), marl (joint actions, a critic that knows what the
            partner did) or oracle (the partner's own critic is the baseline).
        agents: who moves what, as agent=names, the names with commas: joints, bodies or single dofs, * for all others.
            Empty is human=* and prosthesis= the joints below the left hip.
        learner: the agent that learns; the others are played by the human's policy.
        human_checkpoint: policy that plays the other agents; a checkpoint file or a run folder.
        reward: of the team: tracking (PHC's), survival (1 per step), style (a discriminator's), or auto (tracking with
            the tracking task, style with amp).
        train_human: (marl) the human learns, too.
        condition_critic: (marl) the learner's advantage leaves out what the partner's action explains.
        bodies: bodies whose physics the scales below change, with commas; empty for those that the learner moves.
        mass_scale: multiplies their mass and inertia.
        gain_scale: multiplies stiffness and damping of their joints.
        torque_scale: multiplies the torque limits of their joints.
    """

    mode: GameMode = "off"
    agents: str = ""
    learner: str = "prosthesis"
    human_checkpoint: str = ""
    reward: TeamReward = "auto"
    train_human: bool = False
    condition_critic: bool = True
    bodies: str = ""
    mass_scale: float = 1.0
    gain_scale: float = 1.0
    torque_scale: float = 1.0

    @property
    def on(self) -> bool:
        """Whether there is a game."""
        return self.mode != "off"

    @property
    def refitted(self) -> bool:
        """Whether any body is not as the robot has it."""
        return (self.mass_scale, self.gain_scale, self.torque_scale) != (1.0, 1.0, 1.0)


def team_reward(cfg: Config) -> TeamReward:
    """The reward that ``auto`` stands for, or the one that was named."""
    if cfg.game.reward != "auto":
        return cfg.game.reward
    return "style" if cfg.env.task == "amp" and cfg.style.kind != "off" else "tracking"


def with_team_reward(cfg: Config) -> Config:
    """``cfg`` with the weights of task and style that the team's reward asks for."""
    if not cfg.game.on:
        return cfg
    style = team_reward(cfg) == "style"
    weights = replace(cfg.style, task_weight=0.0 if style else 1.0, style_weight=1.0 if style else 0.0)
    return replace(cfg, style=weights, env=replace(cfg.env, use_amp_obs=cfg.env.use_amp_obs or style))


def check_game(cfg: Config) -> None:
    """Refuse what cannot work, naming the option.

    Raises:
        InputError: a scale or a combination of options means nothing.
    """
    game = cfg.game
    for name in ("mass_scale", "gain_scale", "torque_scale"):
        if not 0 < getattr(game, name) < float("inf"):
            raise InputError(f"--game.{name}", f"{getattr(game, name)!r} is out of range", "use a number above 0")
    if game.train_human and game.mode != "marl":
        raise InputError("--game.train_human", f"is no option of --game.mode {game.mode}", "use --game.mode marl")
    if not game.on:
        return
    if cfg.env.task == "deepmimic":
        raise InputError("--game.mode", "has no use for the task deepmimic", "use --env.task tracking or amp")
    if game.mode != "sarl":
        _check_team(cfg)
    reward = team_reward(cfg)
    if reward == "tracking" and cfg.env.task != "tracking" and game.reward != "auto":
        raise InputError("--game.reward tracking", f"follows nothing with the task {cfg.env.task}", "use style")
    if reward == "style" and cfg.style.kind != "amp":
        raise InputError("--game.reward style", f"with --style.kind {cfg.style.kind}", "use --style.kind amp")


def _check_team(cfg: Config) -> None:
    """What joint actions do not go with."""
    if cfg.policy.kind != "mlp":
        raise InputError(f"--policy.kind {cfg.policy.kind}", f"with --game.mode {cfg.game.mode}", "use mlp, or sarl")
    if cfg.train.separate:
        raise InputError("--train.separate", f"with --game.mode {cfg.game.mode}", "leave it out, or use sarl")
