"""A cell of our own learner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from puffer_phc.comparison.study import Act, Cell, Log
from puffer_phc.config import ROOT, Config, resolve
from puffer_phc.config_files import load_ini
from puffer_phc.envs.gym import options_of
from puffer_phc.envs.gym_humanoid import GymHumanoid
from puffer_phc.envs.vec_env import VecEnv
from puffer_phc.factory import make_env, make_library, make_robot
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training.learner import Learner

RECIPE = ROOT / "configs" / "humanoid_v5.ini"


def train(cell: Cell, log: Log) -> Act:
    """Train until the log says stop; the averaged policy, without noise."""
    torch.manual_seed(cell.seed)
    cfg, env, scale = _task(cell)
    policy = ActorCritic(env.num_obs, env.num_actions, cfg.policy, cfg.policy.hidden)
    learner = Learner(cfg, env, policy)
    if log.earlier:
        _restore(learner, log.earlier.learner)
    steps, going = log.steps, True
    while going:
        stats = learner.collect()
        learner.learn()
        steps += learner.samples
        going = log.add(steps, float(stats.episodes), float(stats.returns))
        log.keep(lambda: _state(learner))
    best = learner.averaged

    @torch.no_grad()
    def act(obs: NDArray[Any]) -> NDArray[Any]:
        rows = torch.as_tensor(obs, dtype=torch.float32)[None]
        mean, _ = best.act(rows, best.initial_state(1), torch.zeros(1, dtype=torch.bool))
        action: NDArray[Any] = np.clip(mean[0].numpy(), -1.0, 1.0) * np.float32(scale)
        return action

    return act


def _state(learner: Learner) -> dict[str, Any]:
    ppo = learner.ppo
    return {
        "policy": learner.policy.state_dict(),
        "averaged": learner.averaged.state_dict(),
        "optimizer": ppo.optimizer.state_dict(),
        "learning_rate": ppo.learning_rate,
        "updates": ppo.updates,
    }


def _restore(learner: Learner, state: dict[str, Any]) -> None:
    """Go on with these weights; episodes begin anew."""
    learner.policy.load_state_dict(state["policy"])
    learner.averaged.load_state_dict(state["averaged"])
    learner.ppo.restore(state["optimizer"], state["learning_rate"], state["updates"], [])


def _task(cell: Cell) -> tuple[Config, VecEnv, float]:
    """Options, environment, and what an action of 1 is in Gymnasium's environment."""
    cpu, cores = torch.device("cpu"), cell.study.cores
    cfg = load_ini(Config(), RECIPE) if cell.study.task == "humanoid" else options_of((), {})
    cfg = replace(cfg, base=replace(cfg.base, seed=cell.seed, threads=cores, device="cpu"))
    cfg = resolve(cfg, cpu)
    if cell.study.task == "humanoid":
        env = GymHumanoid(cfg.env.num_envs, cores, cell.seed)
        return cfg, env, env.action_range
    robot = make_robot(cfg)
    return cfg, make_env(cfg, robot, make_library(cfg, robot, cpu), cfg.env.num_envs, cpu, cell.seed), 1.0
