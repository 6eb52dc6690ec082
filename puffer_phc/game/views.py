"""The agents of one body, as PettingZoo and PufferLib know several agents."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from pettingzoo import ParallelEnv
from torch import Tensor

from puffer_phc.config import Config, resolve, resolve_device
from puffer_phc.envs.episode_report import EpisodeReport
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.pufferlib_import import import_pufferlib
from puffer_phc.factory import make_env, make_library, make_robot
from puffer_phc.game.agents import Agents, parse_agents
from puffer_phc.processor import intra_op_threads

pufferlib = import_pufferlib()

Array = NDArray[np.float32]


def _body(cfg: Config | None, num_envs: int | None, device: str, seed: int) -> tuple[HumanoidPHC, Agents]:
    """N bodies and who moves what in each."""
    place = resolve_device(device)
    cfg = resolve(cfg or Config(), place)
    robot = make_robot(cfg)
    agents = parse_agents(cfg.game.agents, robot)
    env = make_env(cfg, robot, make_library(cfg, robot, place), num_envs or cfg.env.num_envs, place, seed)
    return env, agents


class HumanoidParallelEnv(ParallelEnv[str, Array, Array]):
    """One humanoid whose degrees of freedom are shared out among agents, as a PettingZoo parallel environment.

    All agents see the whole body and share one reward; each has actions of its own degrees of freedom, in [-1, 1].

    Attributes:
        env: the body.
        partition: who moves what (:class:`puffer_phc.game.agents.Agents`).
    """

    metadata: dict[str, Any] = {"name": "puffer_phc_game_v0", "render_modes": []}  # noqa: RUF012

    def __init__(self, cfg: Config | None = None, device: str = "cpu", seed: int = 0) -> None:
        """Build the body.

        Raises:
            InputError: an option, or what it names, is wrong.
        """
        self.env, self.partition = _body(cfg, 1, device, seed)
        self.env.final_of_failures = True
        self.possible_agents = list(self.partition.names)
        self.agents: list[str] = []
        self._order = self.partition.order(self.env.device)
        self.observation_spaces = {
            name: gymnasium.spaces.Box(-np.inf, np.inf, (self.env.num_obs,), np.float32)
            for name in self.possible_agents
        }
        self.action_spaces = {
            name: gymnasium.spaces.Box(-1.0, 1.0, (len(dofs),), np.float32)
            for name, dofs in zip(self.partition.names, self.partition.dofs, strict=True)
        }

    def observation_space(self, agent: str) -> gymnasium.spaces.Space[Array]:
        """(O,), the same for all."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Space[Array]:
        """Of the agent's own degrees of freedom."""
        return self.action_spaces[agent]

    @intra_op_threads(1)
    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, dict[str, Any]]]:
        """Start an episode at a moment of a clip drawn at random, from ``seed`` if one is given."""
        if seed is not None:
            self.env.generator.manual_seed(seed)
        self.env.reset()
        self.agents = list(self.possible_agents)
        return self._seen(self.env.obs), {name: {} for name in self.agents}

    @intra_op_threads(1)
    def step(
        self, actions: dict[str, Array]
    ) -> tuple[dict[str, Array], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Apply everyone's actions for one control step; when the episode is over, all agents are done.

        Raises:
            KeyError: an agent's action is missing.
        """
        env, names = self.env, list(self.agents)
        joined = np.concatenate([np.asarray(actions[name], dtype=np.float32) for name in self.partition.names])
        env.step(torch.from_numpy(joined).to(env.device)[self._order][None])
        terminated, truncated = bool(env.terminated[0]), bool(env.truncated[0])
        over = terminated or truncated
        obs = self._seen(env.final_obs if over else env.obs)
        self.agents = [] if over else names
        reward = float(env.reward[0])
        return (
            obs,
            dict.fromkeys(names, reward),
            dict.fromkeys(names, terminated),
            dict.fromkeys(names, truncated),
            {name: {} for name in names},
        )

    def _seen(self, obs: Tensor) -> dict[str, Array]:
        """A copy for each, so that none can change what another sees."""
        return {name: obs[0].cpu().numpy().copy() for name in self.possible_agents}


class GameVecEnv(pufferlib.PufferEnv):  # type: ignore[misc, name-defined]
    """N humanoids of A agents each behind PufferLib's native interface, with N A rows.

    Row ``n A + a`` is agent a of humanoid n. Actions are as wide as those of the agent that moves most; what is
    beyond an agent's own degrees of freedom is ignored.

    Attributes:
        env: the bodies.
        partition: who moves what.
        num_agents: N A.
    """

    def __init__(
        self,
        cfg: Config | None = None,
        num_envs: int | None = None,
        device: str = "cpu",
        buf: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        """Build the bodies; arguments as of :class:`puffer_phc.envs.vector.PHCVecEnv`.

        Raises:
            InputError: an option, or what it names, is wrong.
        """
        self.env, self.partition = _body(cfg, num_envs, device, seed)
        count, widest = len(self.partition.names), self.partition.widest
        self.num_agents = self.env.num_envs * count
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self.env.num_obs,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (widest,), np.float32)
        super().__init__(buf)
        places = [
            agent * widest + place for agent, dofs in enumerate(self.partition.dofs) for place in range(len(dofs))
        ]
        self._places = torch.tensor(places, device=self.env.device)[self.partition.order(self.env.device)]
        self._report = EpisodeReport(self.env)

    @intra_op_threads(1)
    def reset(self, seed: int | None = None) -> tuple[Array, list[dict[str, float]]]:
        """Start a new episode everywhere, from ``seed`` if one is given."""
        env = self.env
        if seed is not None:
            env.generator.manual_seed(seed)
        env.reset()
        for tensor in (env.reward, env.terminated, env.truncated):
            tensor.zero_()
        self._publish()
        return self.observations, []

    @intra_op_threads(1)
    def step(self, actions: Array) -> tuple[Any, Any, Any, Any, list[dict[str, float]]]:
        """Apply actions (N A, W) for one control step; every 32 steps the infos tell of the episodes that ended."""
        env = self.env
        rows = torch.from_numpy(np.asarray(actions, dtype=np.float32)).to(env.device).reshape(env.num_envs, -1)
        env.step(rows.index_select(1, self._places))
        self._publish()
        return self.observations, self.rewards, self.terminals, self.truncations, self._report.after_step()

    def close(self) -> None:
        """Nothing outlives the object."""

    def _publish(self) -> None:
        """Everyone's row of what the bodies say."""
        env, count = self.env, len(self.partition.names)
        shared = (self.observations, self.rewards, self.terminals, self.truncations)
        for target, source in zip(shared, (env.obs, env.reward, env.terminated, env.truncated), strict=True):
            target[:] = source.repeat_interleave(count, dim=0).cpu().numpy()
