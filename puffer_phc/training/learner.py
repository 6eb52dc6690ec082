"""One iteration of PPO as three functions: play, estimate advantages, update."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from gymtorch.fuse import has_triton
from puffer_phc.config import Config
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training.advantage import gae
from puffer_phc.training.distributed import World, seed_of
from puffer_phc.training.ppo import PPO
from puffer_phc.training.precision import network_precision
from puffer_phc.training.rollout import RolloutBuffer, RolloutStats, Runner
from puffer_phc.training.threads import intra_op_threads


class Learner:
    """An environment, a policy and all that carries over from one iteration to the next.

    Attributes:
        policy: the network being trained.
        ppo: optimiser and losses.
        buffer: the latest rollout.
        runner: plays the policy in the environment.
        samples: experience of one iteration, of all ranks.
        averaged: running mean of the policy over its latest updates, the one to evaluate and keep: a trust region wide
            enough to learn fast makes single updates overshoot, and their mean does not.
    """

    def __init__(self, cfg: Config, env: HumanoidPHC, policy: ActorCritic, world: World | None = None) -> None:
        self.env, self.policy, self._train, self.world = env, policy, cfg.train, world or World()
        segment = cfg.train.segment if policy.recurrent else cfg.train.horizon
        self.ppo = PPO(policy, cfg.train, self.world)
        self.buffer = RolloutBuffer(env, policy, cfg.train.horizon, segment)
        seed = seed_of(cfg.base.seed, self.world.rank)
        self.runner = Runner(env, policy, self.buffer, seed, cfg.train.capture, self.world)
        self.samples = env.num_envs * cfg.train.horizon * self.world.size
        self._shared_clips = not cfg.env.shard
        self.averaged = copy.deepcopy(policy).requires_grad_(False)
        if env.device.type == "cuda" and has_triton():
            policy.compile(dynamic=False)

    def warm_up(self) -> None:
        """Compile and record all that an iteration needs; the first run on a machine takes minutes for it."""
        with intra_op_threads(1):
            self.runner.record()
        with network_precision():
            self.ppo.rehearse(self.buffer)

    def collect(self) -> RolloutStats:
        """Fill the buffer."""
        with intra_op_threads(1):
            return self.runner.collect()

    def advantages(self) -> tuple[Tensor, Tensor]:
        """Advantages and value targets (T, N) of the buffer.

        Rewards are scaled by ``1 - gamma``: values of any discount then stay near 1, where value clipping and Adam
        expect them.
        """
        train, buffer = self._train, self.buffer
        return gae(
            buffer.rewards * (1.0 - train.gamma),
            buffer.values,
            buffer.next_values(),
            buffer.terminated,
            buffer.truncated,
            train.gamma,
            train.gae_lambda,
        )

    def learn(self) -> Tensor:
        """Update the policy, then the statistics it sees the world through; metrics as in :meth:`PPO.update`."""
        with network_precision():
            losses = self.ppo.update(self.buffer, *self.advantages(), self.runner.generator)
        self.runner.merge_moments()
        if self._shared_clips:
            self.world.sum_([self.env.sampler.new_failures])
        self.env.sampler.update()
        self._average()
        return losses

    @torch.no_grad()
    def _average(self) -> None:
        # Young policies change fast: at first the window covers but half of the updates there were.
        weight = max(1.0 - self._train.average, 2.0 / (self.ppo.updates + 1.0))
        own: list[Tensor] = list(self.averaged.parameters())
        latest: list[Tensor] = list(self.policy.parameters())
        torch._foreach_lerp_(own, latest, min(weight, 1.0))
        for mine, theirs in zip(self.averaged.buffers(), self.policy.buffers(), strict=True):
            mine.copy_(theirs)
