"""The trained policy that plays the other agents, and the policies of finished games."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from puffer_phc.config import Config
from puffer_phc.envs.actions import ActionConfig
from puffer_phc.errors import InputError
from puffer_phc.game.joint_policy import JointPolicy, make_learner
from puffer_phc.game.options import team_reward
from puffer_phc.policies.actor_critic import ActorCritic, PolicyConfig
from puffer_phc.robots.robot import Robot
from puffer_phc.training import checkpoint

_OPTION = "--game.human_checkpoint"
_ANY_GAME = "name a checkpoint of a game (--game.mode)"


def load_human(path: str, cfg: Config, robot: Robot, num_obs: int) -> tuple[ActorCritic, Config]:
    """The policy that plays the human, of the whole body, and the options it was trained with.

    Of a game's checkpoint it is the human in it.

    Raises:
        InputError: no checkpoint is named, or it is for another body, observation or meaning of actions.
    """
    if not path:
        raise InputError(_OPTION, "is needed for a game", "name the run folder of a policy of the whole body")
    data = checkpoint.load(path)
    policy = checkpoint.load_policy(data, robot.name, num_obs, robot.num_dofs, path)
    trained = checkpoint.config_of(data, path)
    for option in (item.name for item in fields(ActionConfig)):
        theirs, ours = getattr(trained.env, option), getattr(cfg.env, option)
        if theirs != ours:
            fault = f"was trained with --env.{option} {theirs}, the game has {ours}"
            raise InputError(path, fault, "give the game the same options")
    return policy.human if isinstance(policy, JointPolicy) else policy, trained


def value_scale(cfg: Config, trained: Config, where: str) -> float:
    """What the values of a policy trained with ``trained`` are multiplied by to be values of the game ``cfg``.

    Rewards are scaled in learning, and values with them; where both scale alike this is 1.

    Raises:
        InputError: its values are of another reward or discount, or recurrent.
    """
    mine, theirs = cfg.train, trained.train
    if trained.policy.kind != "mlp":
        raise InputError(where, "is recurrent, its values need a past", "use --game.mode sarl, or a policy without")
    if mine.gamma != theirs.gamma:
        fault = f"values a discount of {theirs.gamma}, the game's is {mine.gamma}"
        raise InputError(where, fault, f"use --train.gamma {theirs.gamma}")
    rewarded = team_reward(trained) if trained.game.on else ("style" if trained.style.task_weight == 0 else "tracking")
    if rewarded != team_reward(cfg):
        fault = f"values {rewarded}, the team is rewarded for {team_reward(cfg)}"
        raise InputError(where, fault, f"use --game.reward {rewarded}, or another --game.mode")
    return (mine.reward_scale or 1.0 - mine.gamma) / (theirs.reward_scale or 1.0 - theirs.gamma)


def saved_game(policy: JointPolicy, human: PolicyConfig, dofs: tuple[int, ...]) -> dict[str, Any]:
    """What a checkpoint keeps of a game beside its weights and options."""
    return {
        "human_policy": asdict(human),
        "dofs": list(dofs),
        "conditioned": policy.conditioned,
        "value_scale": policy.value_scale,
    }


def human_options(data: dict[str, Any]) -> PolicyConfig:
    """Options of the human's network in a game's checkpoint."""
    known = {item.name for item in fields(PolicyConfig)}
    given: dict[str, Any] = {name: value for name, value in data["game"]["human_policy"].items() if name in known}
    return PolicyConfig(**{**given, "hidden": tuple(given["hidden"])})


def load_joint(data: dict[str, Any], num_obs: int, num_actions: int, where: str | Path) -> JointPolicy:
    """The policy of a game's checkpoint: all agents together. :func:`checkpoint.load_policy` calls it.

    Raises:
        InputError: it is damaged.
    """
    cfg = checkpoint.config_of(data, where).policy
    try:
        game, options = data["game"], human_options(data)
        dofs = [int(dof) for dof in game["dofs"]]
        if len(set(dofs)) != len(dofs) or not all(0 <= dof < num_actions for dof in dofs):
            raise ValueError("degrees of freedom that the body has not")
        human = ActorCritic(num_obs, num_actions, options, options.hidden)
        told = num_actions - len(dofs) if game["conditioned"] else 0
        learner = make_learner(num_obs, len(dofs), cfg, cfg.hidden, told)
        scale = float(game["value_scale"])
        policy = JointPolicy(human, learner, dofs, conditioned=bool(game["conditioned"]), value_scale=scale)
        policy.load_state_dict(data["policy"])
    except Exception as error:  # anything may stand where a game should
        fault = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(where, f"has a game that does not fit its options ({fault})", _ANY_GAME) from None
    return policy
