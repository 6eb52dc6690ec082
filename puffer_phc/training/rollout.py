"""Playing the policy: one fixed-size batch of experience on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.policies.normalizer import MomentAccumulator


class RolloutBuffer:
    """T steps of N environments, allocated once.

    Attributes:
        obs: (T, N, O) normalised observations.
        actions: (T, N, A) unclipped samples.
        log_probs, values, next_values, rewards: (T, N).
        terminated, truncated: (T, N) bool.
        fresh: (T, N) bool, the observation is the first of an episode.
        states: (T / segment, N, state_size) recurrent state at the start of each segment.
    """

    def __init__(self, env: HumanoidPHC, policy: ActorCritic, horizon: int, segment: int) -> None:
        envs, device = env.num_envs, env.device

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(horizon, envs, *shape, device=device, dtype=dtype)

        self.horizon, self.segment = horizon, segment
        self.obs, self.actions = zeros(env.num_obs), zeros(env.num_actions)
        self.log_probs, self.values, self.next_values, self.rewards = zeros(), zeros(), zeros(), zeros()
        self.terminated, self.truncated, self.fresh = (zeros(dtype=torch.bool) for _ in range(3))
        self.states = torch.zeros(horizon // segment, envs, policy.state_size, device=device)


@dataclass
class RolloutStats:
    """Sums over one rollout; tensors, so that gathering them needs no wait for the device."""

    episodes: Tensor
    returns: Tensor
    lengths: Tensor
    successes: Tensor
    reward_terms: Tensor
    reward: Tensor


class Runner:
    """Carries environment, recurrent state and observation statistics from one rollout to the next."""

    def __init__(self, env: HumanoidPHC, policy: ActorCritic, buffer: RolloutBuffer, seed: int) -> None:
        self.env, self.policy, self.buffer = env, policy, buffer
        self.generator = torch.Generator(device=env.device).manual_seed(seed)
        self.moments = MomentAccumulator(env.num_obs, env.device)
        self._state = policy.initial_state(env.num_envs)
        self._fresh = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
        self._obs = env.reset()
        if not policy.obs_norm.count:  # a new policy: the first statistics are those of the first states
            self.moments.start(self._obs.mean(dim=0))
            self.moments.add(self._obs)
            policy.obs_norm.merge(*self.moments.result())

    @torch.no_grad()
    def collect(self) -> RolloutStats:
        """Fill the buffer with the next T steps."""
        env, policy, buffer = self.env, self.policy, self.buffer
        self.moments.start(policy.obs_norm.mean)
        std = policy.log_std.exp()
        stats = _empty_stats(env)
        obs = policy.obs_norm(self._obs)
        for step in range(buffer.horizon):
            if policy.recurrent and step % buffer.segment == 0:
                buffer.states[step // buffer.segment] = self._state
            buffer.obs[step] = obs
            buffer.fresh[step] = self._fresh
            mean, value, self._state = policy.step(buffer.obs[step], self._state, self._fresh)
            noise = torch.randn(mean.shape, device=env.device, generator=self.generator)
            action = mean + std * noise
            buffer.actions[step] = action
            buffer.log_probs[step] = policy.log_prob(mean, action)
            buffer.values[step] = value
            if step:
                self._fill_next_values(step - 1, value)

            self.moments.add(self._obs)
            self._obs, reward, terminated, truncated = env.step(action)
            buffer.rewards[step], buffer.terminated[step], buffer.truncated[step] = reward, terminated, truncated
            self._bootstrap_truncated(step)
            self._fresh = env.done
            obs = policy.obs_norm(self._obs)
            _count(stats, env)
        _, value, _ = policy.step(obs, self._state, self._fresh)
        self._fill_next_values(buffer.horizon - 1, value)
        return stats

    def _bootstrap_truncated(self, step: int) -> None:
        """Value of the last state of truncated episodes, before their environment was reset."""
        env, policy = self.env, self.policy
        ids = env.truncated.nonzero().squeeze(1)
        if len(ids):
            obs = policy.obs_norm(env.final_obs[ids])
            _, value, _ = policy.step(obs, self._state[ids], torch.zeros_like(env.truncated[ids]))
            self.buffer.next_values[step, ids] = value

    def _fill_next_values(self, step: int, value: Tensor) -> None:
        """The state after ``step`` is the one now seen, except where an episode ended in between."""
        buffer = self.buffer
        torch.where(buffer.truncated[step], buffer.next_values[step], value, out=buffer.next_values[step])


def _empty_stats(env: HumanoidPHC) -> RolloutStats:
    zero = torch.zeros((), device=env.device)
    terms = torch.zeros(env.reward_terms.shape[1], device=env.device)
    return RolloutStats(zero, zero.clone(), zero.clone(), zero.clone(), terms, zero.clone())


def _count(stats: RolloutStats, env: HumanoidPHC) -> None:
    done = env.done
    stats.episodes += done.sum()
    stats.returns += (env.episode_return * done).sum()
    stats.lengths += (env.episode_length * done).sum()
    stats.successes += env.truncated.sum()
    stats.reward_terms += env.reward_terms.mean(dim=0)
    stats.reward += env.reward.mean()
