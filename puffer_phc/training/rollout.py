"""Playing the policy: one fixed-size batch of experience on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gymtorch import CapturedFunction, capture, latch
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.policies.normalizer import MomentAccumulator
from puffer_phc.training.distributed import World
from puffer_phc.training.precision import network_precision


class RolloutBuffer:
    """T steps of N environments, allocated once.

    Attributes:
        obs: (T, N, O) normalised observations.
        actions: (T, N, A) unclipped samples.
        log_probs, values, rewards: (T, N).
        final_values: (T, N), value of the state that a truncated episode ended in; 0 elsewhere.
        last_value: (N,), value of the state after the last step.
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
        self.log_probs, self.values, self.final_values, self.rewards = zeros(), zeros(), zeros(), zeros()
        self.terminated, self.truncated, self.fresh = (zeros(dtype=torch.bool) for _ in range(3))
        self.last_value = torch.zeros(envs, device=device)
        self.states = torch.zeros(horizon // segment, envs, policy.state_size, device=device)

    def next_values(self) -> Tensor:
        """Value (T, N) of the state each step led to, before any reset."""
        following = torch.cat((self.values[1:], self.last_value[None]))
        return torch.where(self.truncated, self.final_values, following)


@dataclass
class RolloutStats:
    """Sums over one rollout; tensors, so that gathering them needs no wait for the device."""

    episodes: Tensor
    returns: Tensor
    lengths: Tensor
    successes: Tensor
    reward_terms: Tensor
    reward: Tensor

    def tensors(self) -> list[Tensor]:
        """All sums."""
        return list(vars(self).values())


class Runner:
    """Carries environment, recurrent state and observation statistics from one rollout to the next.

    On a GPU one control step with everything in it (policy, physics, reward, reset, bookkeeping) is recorded as a CUDA
    graph and replayed; ``captured=False`` runs the same code step by step, for debugging.
    """

    def __init__(
        self,
        env: HumanoidPHC,
        policy: ActorCritic,
        buffer: RolloutBuffer,
        seed: int,
        captured: bool = True,
        world: World | None = None,
    ) -> None:
        self.env, self.policy, self.buffer, self._world = env, policy, buffer, world or World()
        self.generator = torch.Generator(device=env.device).manual_seed(seed)
        self.moments = MomentAccumulator(env.num_obs, env.device)
        self._state = policy.initial_state(env.num_envs)
        self._fresh = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
        self._row = torch.zeros(1, dtype=torch.long, device=env.device)  # the step of the rollout, on the device
        self._stats = _empty_stats(env)
        self._captured = captured
        self._step: CapturedFunction[None] | None = None
        self._obs = env.reset()
        if not policy.obs_norm.count:  # a new policy: the first statistics are those of the first states
            shift = self._obs.mean(dim=0)
            self._world.broadcast_(shift)
            self.moments.start(shift)
            self.moments.add(self._obs)
            self.merge_moments()

    @torch.no_grad()
    def collect(self) -> RolloutStats:
        """Fill the buffer with the next T steps; the sums are overwritten by the next call."""
        policy, buffer = self.policy, self.buffer
        if self._step is None:
            self.record()
        assert self._step is not None
        self.moments.start(policy.obs_norm.mean)
        for total in self._stats.tensors():
            total.zero_()
        self._row.zero_()
        for step in range(buffer.horizon):
            if policy.recurrent and step % buffer.segment == 0:
                buffer.states[step // buffer.segment] = self._state
            self._step()
        _, buffer.last_value, _ = policy.step(policy.obs_norm(self._obs), self._state, self._fresh)
        return self._stats

    def merge_moments(self) -> None:
        """Fold the observations of the last rollout, of all ranks, into the policy's statistics."""
        self._world.sum_(self.moments.sums())
        self.policy.obs_norm.merge(*self.moments.result())

    def record(self) -> None:
        """Make the graph of a control step, which takes a few steps to do; :meth:`collect` does it when needed."""
        device = self.env.device if self._captured else torch.device("cpu")  # CPU work is never recorded
        self._step = capture(self._control_step, device=device, generators=(self.generator, self.env.generator))

    def _control_step(self) -> None:
        """One step: observe, act, simulate, note everything in the buffer's current row."""
        env, policy, buffer = self.env, self.policy, self.buffer
        obs = policy.obs_norm(self._obs)
        with network_precision():
            mean, value, state = policy.step(obs, self._state, self._fresh)
        noise = torch.randn(mean.shape, device=env.device, generator=self.generator)
        action = mean + policy.log_std.exp() * noise
        self._note(buffer.obs, obs)
        self._note(buffer.fresh, self._fresh)
        self._note(buffer.actions, action)
        self._note(buffer.log_probs, policy.log_prob(mean, action))
        self._note(buffer.values, value)
        self.moments.add(self._obs)

        next_obs, reward, terminated, truncated = env.step(action)
        self._note(buffer.rewards, reward)
        self._note(buffer.terminated, terminated)
        self._note(buffer.truncated, truncated)
        self._note(buffer.final_values, self._final_value(state))
        self._count()
        self._obs, self._state = latch(self._obs, next_obs), latch(self._state, state)
        self._fresh = latch(self._fresh, env.done)
        self._row += 1

    def _note(self, target: Tensor, value: Tensor) -> None:
        target.index_copy_(0, self._row, value[None])

    def _final_value(self, state: Tensor) -> Tensor:
        """Value (N,) of the last states of truncated episodes, seen before their environment was reset."""
        env, policy = self.env, self.policy
        if env.device.type != "cpu":
            with network_precision():
                return torch.where(env.truncated, policy.value(policy.obs_norm(env.final_obs), state), 0.0)
        values = torch.zeros(env.num_envs)
        ids = env.truncated.nonzero().squeeze(1)
        if len(ids):
            values[ids] = policy.value(policy.obs_norm(env.final_obs[ids]), state[ids])
        return values

    def _count(self) -> None:
        stats, env = self._stats, self.env
        done = env.done
        stats.episodes += done.sum()
        stats.returns += (env.episode_return * done).sum()
        stats.lengths += (env.episode_length * done).sum()
        stats.successes += env.truncated.sum()
        stats.reward_terms += env.reward_terms.mean(dim=0)
        stats.reward += env.reward.mean()


def _empty_stats(env: HumanoidPHC) -> RolloutStats:
    episodes, returns, lengths, successes, reward = torch.zeros(5, device=env.device).unbind()
    terms = torch.zeros(env.reward_terms.shape[1], device=env.device)
    return RolloutStats(episodes, returns, lengths, successes, terms, reward)
