"""One iteration of PPO as three functions: play, estimate advantages, update."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from gymtorch.fuse import has_triton
from puffer_phc.config import Config, TrainConfig
from puffer_phc.envs.vec_env import VecEnv
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.processor import intra_op_threads
from puffer_phc.training.advantage import gae
from puffer_phc.training.amp import STYLE_METRICS, StyleLearner
from puffer_phc.training.distributed import World, seed_of
from puffer_phc.training.ppo import PPO
from puffer_phc.training.precision import network_precision
from puffer_phc.training.rollout import RolloutBuffer, RolloutStats, Runner
from puffer_phc.training.separate_ppo import SeparatePPO

_STYLE_SEED = 500_009  # apart from the seeds of other ranks


def exploration(train: TrainConfig, samples: int) -> float:
    """The probability that an action is a sample, after so many samples."""
    done = min(1.0, samples / train.exp_anneal_samples) if train.exp_anneal_samples else 0.0
    return train.exp_prob_begin + done * (train.exp_prob_end - train.exp_prob_begin)


class Learner:
    """An environment, a policy and all that carries over from one iteration to the next.

    Attributes:
        policy: the network being trained.
        ppo: optimiser and losses.
        buffer: the latest rollout.
        runner: plays the policy in the environment.
        style: the discriminator of motions and its training, or None.
        style_metrics: of the last update, in the order of ``STYLE_METRICS``.
        samples: experience of one iteration, of all ranks.
        averaged: running mean of the policy over its latest updates, the one to evaluate and keep: a trust region wide
            enough to learn fast makes single updates overshoot, and their mean does not.
    """

    def __init__(self, cfg: Config, env: VecEnv, policy: ActorCritic, world: World | None = None) -> None:
        self.env, self.policy, self._train, self.world = env, policy, cfg.train, world or World()
        segment = cfg.train.segment if policy.recurrent else cfg.train.horizon
        self.ppo = self._make_ppo(cfg, policy)
        policy.obs_norm.settled = cfg.train.norm_samples or None
        history = getattr(env, "style", None) if cfg.style.kind != "off" else None
        self.buffer = RolloutBuffer(env, policy, cfg.train.horizon, segment, history.size if history else 0)
        seed = seed_of(cfg.base.seed, self.world.rank)
        mixed = min(cfg.train.exp_prob_begin, cfg.train.exp_prob_end) < 1.0
        self.runner = Runner(env, policy, self.buffer, seed, cfg.train.capture, self.world, history, mixed)
        updates = cfg.train.epochs * cfg.train.minibatches
        self.style = StyleLearner(cfg.style, history, updates, seed + _STYLE_SEED, self.world) if history else None
        for step in (*self.ppo.steps, *(self.style.steps if self.style else ())):
            step.wanted &= cfg.train.capture
        self.style_metrics = torch.zeros(len(STYLE_METRICS), device=env.device)
        self.samples = env.num_envs * cfg.train.horizon * self.world.size
        self._shared_clips = not cfg.env.shard
        self.averaged = copy.deepcopy(policy).requires_grad_(False)
        if env.device.type == "cuda" and has_triton():
            policy.compile(dynamic=False)

    def _make_ppo(self, cfg: Config, policy: ActorCritic) -> PPO | SeparatePPO:
        return (SeparatePPO if cfg.train.separate else PPO)(policy, cfg.train, self.world)

    def more_metrics(self) -> dict[str, float]:
        """What else there is to log about the last update, by name."""
        return {}

    def warm_up(self) -> None:
        """Compile and record all that an iteration needs; the first run on a machine takes minutes for it."""
        self.world.rehearse(self.env.device)
        with intra_op_threads(1):
            self.runner.record()
        with network_precision():
            self.ppo.rehearse(self.buffer)
            if self.style is not None:
                self.style.rehearse(self.buffer)

    def collect(self) -> RolloutStats:
        """Fill the buffer."""
        self.runner.explores.fill_(exploration(self._train, self.ppo.updates * self.samples))
        with intra_op_threads(1):
            return self.runner.collect()

    def advantages(self) -> tuple[Tensor, Tensor]:
        """Advantages and value targets (T, N) of the buffer.

        Rewards are scaled by ``1 - gamma`` unless told otherwise: values of any discount then stay near 1, where value
        clipping and Adam expect them.
        """
        train, buffer = self._train, self.buffer
        return gae(
            buffer.rewards * (train.reward_scale or 1.0 - train.gamma),
            buffer.values,
            buffer.next_values(),
            buffer.terminated,
            buffer.truncated,
            train.gamma,
            train.gae_lambda,
        )

    def learn(self) -> Tensor:
        """Update the policy, then the statistics it sees the world through; metrics as in :meth:`PPO.update`."""
        if self.style is not None:
            self.style.add_reward(self.buffer)
        with network_precision():
            losses = self.ppo.update(self.buffer, *self.advantages(), self.runner.generator)
            if self.style is not None:
                self.style_metrics = self.style.update(self.buffer)
        self.runner.merge_moments()
        if self.env.sampler is not None:
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
