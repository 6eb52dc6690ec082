"""Playing the policy: one fixed-size batch of experience on the device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gymtorch import CapturedFunction, capture, fused, latch, listed
from puffer_phc.envs.style_history import StyleHistory
from puffer_phc.envs.vec_env import VecEnv, generators_of
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.policies.normalizer import MomentAccumulator
from puffer_phc.policies.player import Player
from puffer_phc.training.distributed import World
from puffer_phc.training.precision import network_precision

_SPARE_FINALS = 1024  # truncated episodes of one rollout beyond one for each environment
_STEPS_AT_ONCE = 8  # control steps of one recording, at most: launching one costs as much as a dozen kernels


class RolloutBuffer:
    """T steps of N environments, allocated once.

    Attributes:
        obs: (T, N, O) normalised observations.
        actions: (T, N, A) unclipped samples.
        log_probs, values, rewards: (T, N).
        finals: (1,) int64, truncated episodes so far. Where they ended is kept for one critic pass after the rollout.
        last_value: (N,), value of the state after the last step.
        terminated, truncated: (T, N) bool, episodes that ended with nothing beyond, and ones that were only cut.
        fresh: (T, N) bool, the observation is the first of an episode.
        explored: (T, N), 1 where the action is a sample, 0 where it is the mean.
        style: (T, N, K F), motion up to the state that each step led to, which is the one its reward is for.
        states: (T / segment, N, state_size) recurrent state at the start of each segment.
    """

    def __init__(self, env: VecEnv, policy: ActorCritic, horizon: int, segment: int, style_size: int = 0) -> None:
        """``style_size`` is K F where a discriminator judges the motion, else 0."""
        envs, device = env.num_envs, env.device

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(horizon, envs, *shape, device=device, dtype=dtype)

        self.horizon, self.segment = horizon, segment
        self.obs, self.actions = zeros(env.num_obs), zeros(env.num_actions)
        self.log_probs, self.values, self.rewards = zeros(*policy.ratio_shape), zeros(), zeros()
        self.explored = torch.ones_like(self.rewards)
        self.style = zeros(style_size)
        self.terminated, self.truncated, self.fresh = (zeros(dtype=torch.bool) for _ in range(3))
        self.last_value = torch.zeros(envs, device=device)
        room = min(horizon * envs, envs + _SPARE_FINALS)
        # One row or element more than there are: what has no place is written there.
        self._final_obs = torch.zeros(room + 1, env.num_obs, device=device)
        self._final_states = torch.zeros(room + 1, policy.state_size, device=device)
        self._final_slots = torch.zeros(room + 1, device=device, dtype=torch.long)
        self._final_values = torch.zeros(horizon * envs + 1, device=device)
        self.finals = torch.zeros(1, device=device, dtype=torch.long)  # truncated episodes so far
        self.states = torch.zeros(horizon // segment, envs, policy.state_size, device=device)

    @property
    def final_values(self) -> Tensor:
        """(T, N), value of the state that a truncated episode ended in; 0 elsewhere."""
        return self._final_values[:-1].view(self.horizon, -1)

    def start(self) -> None:
        """Forget the last rollout."""
        self.finals.zero_()
        self._final_slots.fill_(self.rewards.numel())

    def queue_finals(self, step: Tensor, truncated: Tensor, known: int, obs: Tensor, state: Tensor) -> None:
        """Keep where truncated episodes ended until :meth:`value_finals`.

        Args:
            step: (1,) int64.
            truncated: (N,) bool.
            known: of so many truncated rows, the first ones, ``obs`` holds something.
            obs: (N, O) raw; only truncated rows count.
            state: (N, state_size).
        """
        room = self._final_obs.shape[0] - 1
        which, wanted = listed(truncated, known)
        place = self.finals + torch.arange(len(which), device=truncated.device)
        place = torch.where(wanted, place.clamp_max(room), room)
        self._final_obs.index_copy_(0, place, obs[which])
        self._final_states.index_copy_(0, place, state[which])
        self._final_slots.index_copy_(0, place, step * len(truncated) + which)
        self.finals += wanted.sum()

    def value_finals(self, value: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Fill ``final_values`` with ``value(observations, states)`` of what was queued.

        Episodes that found no room get the value of the observation before, which differs little.
        """
        self.final_values.copy_(torch.where(self.truncated, self.values, 0.0))
        room = self._final_obs.shape[0] - 1
        if self.finals.device.type == "cpu":  # where looking costs nothing, nothing is computed in vain
            room = min(room, int(self.finals))
        found = value(self._final_obs[:room], self._final_states[:room])
        self._final_values.index_copy_(0, self._final_slots[:room], found)

    def next_values(self) -> Tensor:
        """Value (T, N) of the state each step led to, before any reset."""
        following = torch.cat((self.values[1:], self.last_value[None]))
        return torch.where(self.truncated, self.final_values, following)


@dataclass
class RolloutStats:
    """What happened in one rollout; tensors, so that gathering it needs no wait for the device.

    Attributes:
        episodes, returns, lengths, successes: () sums over the episodes that ended.
        reward_terms, reward: (K,) and () sums over the steps of the means over the environments.
    """

    episodes: Tensor
    returns: Tensor
    lengths: Tensor
    successes: Tensor
    reward_terms: Tensor
    reward: Tensor

    def tensors(self) -> list[Tensor]:
        """All of them."""
        return list(vars(self).values())


class EpisodeCounter:
    """Gathers :class:`RolloutStats`, each environment for itself: sums over all in every step would cost a GPU more."""

    def __init__(self, env: VecEnv) -> None:
        names = ("episodes", "returns", "lengths", "successes", "reward")
        self._sums = {name: torch.zeros(env.num_envs, device=env.device) for name in names}
        self._sums["reward_terms"] = torch.zeros_like(env.reward_terms)

    def start(self) -> None:
        """Forget everything."""
        torch._foreach_zero_(list(self._sums.values()))

    def add(self, env: VecEnv) -> None:
        """Count one step."""
        sums, done = self._sums, env.done
        sums["episodes"] += done
        sums["returns"] += env.episode_return * done
        sums["lengths"] += env.episode_length * done
        sums["successes"] += env.truncated
        sums["reward_terms"] += env.reward_terms
        sums["reward"] += env.reward

    def result(self) -> RolloutStats:
        """Over all environments."""
        totals = {name: each.sum(dim=0) for name, each in self._sums.items()}
        for name in ("reward_terms", "reward"):
            totals[name] /= len(self._sums["reward"])
        return RolloutStats(**totals)


class Runner:
    """Carries environment, recurrent state and observation statistics from one rollout to the next.

    On a GPU some control steps with everything in them (policy, physics, reward, reset, bookkeeping) are recorded as a
    CUDA graph and replayed; ``captured=False`` runs the same code step by step, for debugging.

    Attributes:
        explores: () probability that an action is a sample, where some are means.
    """

    def __init__(
        self,
        env: VecEnv,
        policy: ActorCritic,
        buffer: RolloutBuffer,
        seed: int,
        captured: bool = True,
        world: World | None = None,
        style: StyleHistory | None = None,
        mixed: bool = False,
    ) -> None:
        """``mixed``: not every action is a sample, some are means, see ``explores``."""
        self._style = style
        self.env, self.policy, self.buffer, self._world = env, policy, buffer, world or World()
        self.generator = torch.Generator(device=env.device).manual_seed(seed)
        self.moments = MomentAccumulator(env.num_obs, env.device)
        self._mixed, self.explores = mixed, torch.ones((), device=env.device)
        self._state = policy.initial_state(env.num_envs)
        self._fresh = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
        self._row = torch.zeros(1, dtype=torch.long, device=env.device)  # the step of the rollout, on the device
        self._counter = EpisodeCounter(env)
        self._captured = captured
        self._steps: CapturedFunction[None] | None = None
        self._at_once = math.gcd(buffer.segment if policy.recurrent else buffer.horizon, _STEPS_AT_ONCE)
        self._player = Player(policy)
        self._played = self._player.policy
        self._decide, self._finish = fused(self._before_env, env.device), fused(self._after_env, env.device)
        self._critic = fused(self._played.value, env.device)
        self._critic_step = fused(self._played.critic_step, env.device)
        env.reset()
        if not policy.obs_norm.count:  # a new policy: the first statistics are those of the first states
            shift = env.obs.mean(dim=0)
            self._world.broadcast_(shift)
            self.moments.start(shift)
            self.moments.add(env.obs)
            self.merge_moments()

    @torch.no_grad()
    def collect(self) -> RolloutStats:
        """Fill the buffer with the next T steps."""
        policy, buffer = self.policy, self.buffer
        if self._steps is None:
            self.record()
        assert self._steps is not None
        buffer.start()
        self._player.refresh()
        self.moments.start(policy.obs_norm.mean)
        self._counter.start()
        self._row.zero_()
        for step in range(0, buffer.horizon, self._at_once):
            if policy.recurrent and step % buffer.segment == 0:
                buffer.states[step // buffer.segment] = self._state
            self._steps()
        with network_precision():
            buffer.last_value, _ = self._critic_step(policy.obs_norm(self.env.obs), self._state, self._fresh)
        buffer.value_finals(self._value)
        return self._counter.result()

    def merge_moments(self) -> None:
        """Fold the observations of the last rollout, of all ranks, into the policy's statistics."""
        self._world.sum_(self.moments.sums())
        self.policy.obs_norm.merge(*self.moments.result())

    @torch.no_grad()
    def record(self) -> None:
        """Make the graph of some control steps, which takes a few steps to do; :meth:`collect` does it when needed."""
        device = self.env.device if self._captured else torch.device("cpu")  # CPU work is never recorded
        generators = (self.generator, *generators_of(self.env))
        self._steps = capture(self._control_steps, warmup=1, device=device, generators=generators)
        self.buffer.start()
        self.buffer.value_finals(self._value)  # of nothing yet; what it compiles is compiled now

    def _control_steps(self) -> None:
        for _ in range(self._at_once):
            self._control_step()

    def _control_step(self) -> None:
        """One step: observe, act, simulate, note everything in the buffer's current row."""
        env = self.env
        noise = torch.randn(env.num_envs, env.num_actions, device=env.device, generator=self.generator)
        luck = torch.rand(env.num_envs, device=env.device, generator=self.generator) if self._mixed else None
        with network_precision():
            action, state = self._decide(noise, luck)
        env.step(action)
        self._finish(state)

    # -- parts of a step, each compiled as a whole on a GPU ----------------------------------------------------------

    def _before_env(self, noise: Tensor, luck: Tensor | None) -> tuple[Tensor, Tensor]:
        """Actions (N, A) and the next recurrent state; where ``luck`` (N,) is too large, actions are means."""
        env, buffer, policy, played = self.env, self.buffer, self.policy, self._played
        obs = policy.obs_norm(env.obs)
        self._note(buffer.obs, obs)
        self._note(buffer.fresh, self._fresh)
        self.moments.add(env.obs)
        mean, actor_state = played.actor_step(obs, self._state, self._fresh)
        value, critic_state = played.critic_step(obs, self._state, self._fresh)
        self._note(buffer.values, value)
        if luck is not None:
            explored = (luck < self.explores).to(noise.dtype)
            self._note(buffer.explored, explored)
            noise = noise * explored[:, None]
        action = mean + policy.log_std.exp() * noise
        self._note(buffer.actions, action)
        self._note(buffer.log_probs, policy.log_prob(mean, action))
        return action, torch.cat((actor_state, critic_state), dim=1)

    def _after_env(self, state: Tensor) -> None:
        env, buffer = self.env, self.buffer
        self._note(buffer.rewards, env.reward)
        cut = env.truncated & ~env.succeeded  # the value of what would have followed is wanted
        self._note(buffer.terminated, env.terminated | env.succeeded)
        self._note(buffer.truncated, cut)
        if self._style is not None:
            self._note(buffer.style, self._style.observed)
        buffer.queue_finals(self._row, cut, env.final_room, env.final_obs, state)
        self._counter.add(env)
        self._state = latch(self._state, state)
        self._fresh = latch(self._fresh, env.done)
        self._row.add_(1).remainder_(buffer.horizon)  # recording plays steps beyond the last

    def _note(self, target: Tensor, value: Tensor) -> None:
        target.index_copy_(0, self._row, value[None])

    def _value(self, obs: Tensor, state: Tensor) -> Tensor:
        """Values (K,) of raw observations (K, O) that end an episode."""
        with network_precision():
            return self._critic(self.policy.obs_norm(obs), state)
