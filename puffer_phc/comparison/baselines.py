"""A cell of Stable-Baselines3."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puffer_phc.comparison.sb3_import import import_stable_baselines3
from puffer_phc.comparison.study import Act, Cell, Log, make_gym


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
    env = make_vec_env(functools.partial(make_gym, study.task), num_envs, seed=cell.seed, vec_env_cls=kind)
    maker = {"ppo": sb3.PPO, "a2c": sb3.A2C, "sac": sb3.SAC}[cell.algorithm]
    model = maker("MlpPolicy", env, seed=cell.seed, device="cpu")
    try:
        model.learn(study.steps, callback=_listener(log), log_interval=None)
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
            return log.add(self.num_timesteps, len(ended), float(sum(ended)))

    return Listener()
