"""``HumanoidPHC`` as a PufferLib environment."""

from __future__ import annotations

import multiprocessing
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

import gymtorch
from puffer_phc.config import Config, resolve, resolve_device
from puffer_phc.envs.episode_report import EpisodeReport
from puffer_phc.envs.pufferlib_import import import_pufferlib
from puffer_phc.factory import make_env, make_library, make_robot
from puffer_phc.processor import intra_op_threads

pufferlib = import_pufferlib()


class PHCVecEnv(pufferlib.PufferEnv):  # type: ignore[misc, name-defined]
    """N humanoids behind PufferLib's native interface.

    Works in ``pufferlib.vector.make`` with the native (``PufferEnv``), ``Serial`` and ``Multiprocessing`` backends::

        vecenv = pufferlib.vector.make(PHCVecEnv, env_kwargs={"cfg": cfg, "num_envs": 64}, backend="Serial", num_envs=2)

    Environments reset themselves: after the end of an episode ``observations`` are already those of the next.

    Attributes:
        env: the environment behind the interface.
        observations, rewards, terminals, truncations, masks, actions: NumPy arrays, or with ``torch_buffers`` tensors
            on the environment's device.
    """

    def __init__(
        self,
        cfg: Config | None = None,
        num_envs: int | None = None,
        device: str = "cpu",
        torch_buffers: bool = False,
        buf: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        """Build robot, motions and simulator.

        Args:
            cfg: options; None for the defaults.
            num_envs: N; None for ``cfg.env.num_envs``.
            device: where simulation runs.
            torch_buffers: keep all buffers as tensors on the device; only for the native backend.
            buf: buffers that PufferLib's Serial and Multiprocessing backends share with us.
            seed: of all random draws.

        Raises:
            InputError: a motion or an option is wrong.
            ValueError: both ``buf`` and ``torch_buffers`` were given.
        """
        if multiprocessing.parent_process() is not None:
            # A forked worker inherits the state of torch's threads but not the threads: waiting for them would hang.
            torch.set_num_threads(1)
        if torch_buffers and buf is not None:
            raise ValueError("torch_buffers is for the native backend; Serial and Multiprocessing share NumPy buffers")
        place = resolve_device(device)
        cfg = resolve(cfg or Config(), place)
        robot = make_robot(cfg)
        library = make_library(cfg, robot, place)
        self.env = make_env(cfg, robot, library, num_envs or cfg.env.num_envs, place, seed)
        self.num_agents = self.env.num_envs
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self.env.num_obs,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (self.env.num_actions,), np.float32)
        super().__init__(buf)
        self._torch = torch_buffers
        self._report = EpisodeReport(self.env)
        if torch_buffers:
            self.observations, self.rewards = self.env.obs, self.env.reward
            self.terminals, self.truncations = self.env.terminated, self.env.truncated
            self.masks = torch.ones(self.num_agents, dtype=torch.bool, device=place)
            self.actions = torch.zeros(self.num_agents, self.env.num_actions, device=place)
        else:
            shared = (self.observations, self.rewards, self.terminals, self.truncations)
            self._shared = tuple(gymtorch.wrap(array) for array in shared)

    @intra_op_threads(1)
    def reset(self, seed: int | None = None) -> tuple[np.ndarray | Tensor, list[dict[str, float]]]:
        """Start a new episode everywhere, from ``seed`` if one is given."""
        if seed is not None:
            self.env.generator.manual_seed(seed)
        self.env.reset()
        self.env.reward.zero_()
        self.env.terminated.zero_()
        self.env.truncated.zero_()
        self._publish()
        return self.observations, []

    @intra_op_threads(1)
    def step(self, actions: np.ndarray | Tensor) -> tuple[Any, Any, Any, Any, list[dict[str, float]]]:
        """Apply actions (N, D) for one control step; every 32 steps the infos tell of the episodes that ended."""
        env = self.env
        action = actions if isinstance(actions, Tensor) else torch.from_numpy(np.asarray(actions, dtype=np.float32))
        env.step(action.to(env.device))
        self._publish()
        return self.observations, self.rewards, self.terminals, self.truncations, self._report.after_step()

    def close(self) -> None:
        """Nothing outlives the object."""

    def _publish(self) -> None:
        env = self.env
        if self._torch:
            self.observations = env.obs
        else:
            for target, source in zip(self._shared, (env.obs, env.reward, env.terminated, env.truncated), strict=True):
                target.copy_(source)
