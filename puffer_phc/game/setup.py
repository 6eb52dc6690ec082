"""From options to a game that can be trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from puffer_phc.config import Config
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.vec_env import HumanoidEnv
from puffer_phc.errors import InputError
from puffer_phc.game.agents import parse_agents
from puffer_phc.game.game_env import GameEnv
from puffer_phc.game.joint_policy import Baseline, JointPolicy, make_learner
from puffer_phc.game.partner import human_options, load_human, saved_game, value_scale
from puffer_phc.game.team_ppo import TeamLearner
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training import checkpoint
from puffer_phc.training.distributed import World
from puffer_phc.training.learner import Learner

_PARTNER_SEED = 700_001  # apart from the seeds of other ranks and of the discriminator


@dataclass(frozen=True)
class Game:
    """What a trainer needs.

    Attributes:
        env: what the learner acts in.
        policy: what is trained.
        joint: all agents together, sharing the networks of ``policy``.
        saved: what a checkpoint keeps beside weights.
    """

    env: HumanoidEnv
    policy: ActorCritic
    joint: JointPolicy
    saved: dict[str, Any]

    def make_learner(self, cfg: Config, world: World) -> Learner:
        """The one that trains ``policy``."""
        kind = TeamLearner if self.policy is self.joint else Learner
        return kind(cfg, self.env, self.policy, world)

    def tested(self, averaged: ActorCritic) -> JointPolicy:
        """All agents together, with ``averaged`` as the policy that is trained."""
        if isinstance(averaged, JointPolicy):
            return averaged
        return JointPolicy(self.joint.human, averaged, self.saved["dofs"])


def set_up(cfg: Config, env: HumanoidPHC, start: dict[str, Any] | None, device: torch.device, seed: int) -> Game:
    """The game of ``[game]`` on ``env``.

    Args:
        cfg: options, resolved.
        env: the whole body.
        start: checkpoint of a game to go on from, if any; its human counts unless another is named.
        device: where everything lives.
        seed: of the partner's samples.

    Raises:
        InputError: agents, partner or checkpoint do not fit.
    """
    game = cfg.game
    dofs = parse_agents(game.agents, env.robot).of(game.learner)
    before = _joint_of(start, env, dofs, cfg)
    scale = 1.0
    if start is not None and before is not None and (cfg.base.resume or not game.human_checkpoint):
        human, options, scale = before.human, human_options(start), before.value_scale
    else:
        human, trained = load_human(game.human_checkpoint, cfg, env.robot, env.num_obs)
        options = trained.policy
        if game.mode == "oracle":
            scale = value_scale(cfg, trained, game.human_checkpoint)
    human, conditioned = human.to(device), game.mode == "marl" and game.condition_critic
    told = env.num_actions - len(dofs) if conditioned else 0
    learner = make_learner(env.num_obs, len(dofs), cfg.policy, cfg.policy.hidden, told)
    if before is not None:
        learner.load_state_dict(before.learner.state_dict())
    if not cfg.policy.learn_std:
        learner.log_std.fill_(cfg.policy.log_std)
    learner = learner.to(device)
    baseline: Baseline = "partner" if game.mode == "oracle" else "own"
    if game.mode != "sarl" and human.recurrent:
        fault = f"is recurrent, which --game.mode {game.mode} has no use for"
        raise InputError(game.human_checkpoint, fault, "use --game.mode sarl")
    joint = JointPolicy(human, learner, dofs, game.train_human, conditioned, baseline, scale).to(device)
    saved = saved_game(joint, options, dofs)
    if game.mode == "sarl":
        return Game(GameEnv(env, human, dofs, seed + _PARTNER_SEED), learner, joint, saved)
    return Game(env, joint, joint, saved)


def _joint_of(start: dict[str, Any] | None, env: HumanoidPHC, dofs: tuple[int, ...], cfg: Config) -> JointPolicy | None:
    """The agents of the checkpoint to start from."""
    if start is None:
        return None
    where = cfg.base.resume or cfg.base.checkpoint
    policy = checkpoint.load_policy(start, env.robot.name, env.num_obs, env.num_actions, where)
    if not isinstance(policy, JointPolicy):
        raise InputError(where, "is no checkpoint of a game", "name it as --game.human_checkpoint instead")
    conditioned = cfg.game.mode == "marl" and cfg.game.condition_critic
    if tuple(start["game"]["dofs"]) != dofs or policy.conditioned != conditioned:
        raise InputError(where, "is of another game", "use its --game.mode, --game.agents and --game.learner")
    return policy
