"""A cell of Stable-Baselines3."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from puffer_phc.comparison.sb3_import import import_stable_baselines3
from puffer_phc.comparison.study import Act, Cell, Log, make_gym

_MEMORY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")  # of SAC


def train(cell: Cell, log: Log) -> Act:
    """Train with default parameters until the log says stop; the policy without noise.

    Raises:
        InputError: Stable-Baselines3 is not installed.
    """
    sb3 = import_stable_baselines3()
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    study = cell.study
    num_envs = study.num_envs or (1 if cell.algorithm == "sac" else study.cores)
    kind = SubprocVecEnv if num_envs > 1 and study.cores > 1 else DummyVecEnv
    luck = cell.seed + log.steps  # a run that goes on meets other starts
    env = make_vec_env(functools.partial(make_gym, study.task), num_envs, seed=luck, vec_env_cls=kind)
    maker = {"ppo": sb3.PPO, "a2c": sb3.A2C, "sac": sb3.SAC}[cell.algorithm]
    model = maker("MlpPolicy", env, seed=luck, device="cpu")
    try:
        if log.earlier:
            _restore(model, log.steps, log.earlier.learner)
        model.learn(study.steps - log.steps, _listener(log), log_interval=None, reset_num_timesteps=not log.earlier)
    finally:
        env.close()

    def act(obs: NDArray[Any]) -> NDArray[Any]:
        action: NDArray[Any] = np.asarray(model.predict(obs, deterministic=True)[0])
        return action

    return act


def _listener(log: Log) -> Any:
    """A callback that tells ``log`` of every step and stops when it says so."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Listener(BaseCallback):
        def _on_step(self) -> bool:
            ended = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
            going = log.add(self.num_timesteps, len(ended), float(sum(ended)))
            log.keep(lambda: _state(self.model))
            return going

    return Listener()


def _state(model: Any) -> dict[str, Any]:
    """Weights, optimisers, and of SAC its temperature and memory, the filled part of it."""
    state = {"parameters": model.get_parameters(), "updates": model._n_updates}
    memory = getattr(model, "replay_buffer", None)
    if memory is not None:
        rows = memory.size()
        state["log_temperature"] = model.log_ent_coef.detach()
        state["memory"] = {name: torch.from_numpy(getattr(memory, name)[:rows]) for name in _MEMORY}
        state["next_row"] = memory.pos
    return state


def _restore(model: Any, steps: int, state: dict[str, Any]) -> None:
    """Go on from :func:`_state`; episodes begin anew, and of PPO and A2C the rollout that was under way."""
    model.set_parameters(state["parameters"], exact_match=True)
    model.num_timesteps, model._n_updates = steps, state["updates"]
    if "memory" in state:
        memory = model.replay_buffer
        for name, rows in state["memory"].items():
            getattr(memory, name)[: len(rows)] = rows.numpy()
        memory.pos = state["next_row"]
        memory.full = len(rows) == memory.buffer_size
        with torch.no_grad():
            model.log_ent_coef.copy_(state["log_temperature"])
