"""The body as one agent finds it: whatever the others do is part of the environment."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gymtorch import fused, latch
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training.precision import network_precision


class GameEnv:
    """A :class:`puffer_phc.envs.vec_env.VecEnv` of some degrees of freedom; a frozen partner moves the others.

    The partner sees the observation that everyone sees, through its own normaliser, and acts as it did when it was
    trained: it draws samples, with luck of its own. Its network is neither trained nor are its statistics changed.

    Attributes:
        env: the whole body.
        partner: a policy of the whole body, of which only its own part is heard.
        num_actions: of the learner.
        partner_generator: of the partner's samples.
    """

    def __init__(self, env: HumanoidPHC, partner: ActorCritic, dofs: Sequence[int], seed: int) -> None:
        """``dofs`` are the learner's degrees of freedom, in the order of its actions."""
        self.env, self.partner = env, partner.requires_grad_(False)
        self.num_envs, self.num_obs, self.num_actions = env.num_envs, env.num_obs, len(dofs)
        self.device, self.generator = env.device, env.generator
        self.robot, self.simulator, self.task, self.style = env.robot, env.simulator, env.task, env.style
        self.library, self.sampler, self.divergences = env.library, env.sampler, env.divergences
        self.partner_generator = torch.Generator(device=env.device).manual_seed(seed)
        own = list(dofs)
        others = [dof for dof in range(env.num_actions) if dof not in set(own)]
        self._others = torch.tensor(others, device=env.device)
        self._order = torch.tensor(others + own, device=env.device).argsort()
        self._std = partner.log_std.detach().exp()[self._others].to(env.device)
        self._state = torch.zeros(env.num_envs, partner.actor.state_size, device=env.device)
        self._partner_step = fused(self._mean_of_partner, env.device)
        self._joint_action = fused(self._joined, env.device)
        self._mirror()

    @property
    def other_generators(self) -> tuple[torch.Generator, ...]:
        """The partner's."""
        return (self.partner_generator,)

    @property
    def done(self) -> Tensor:
        """(N,) bool: the last step ended an episode."""
        return self.env.done

    @property
    def final_room(self) -> int:
        """The body's."""
        return self.env.final_room

    def reset(self) -> Tensor:
        """Start a new episode everywhere; returns ``obs``."""
        self._state.zero_()
        self.env.reset()
        self._mirror()
        return self.obs

    @torch.no_grad()
    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Apply the learner's actions (N, A) beside a sample of the partner's; returns as :meth:`HumanoidPHC.step`."""
        with network_precision():
            mean, state = self._partner_step(self.env.obs, self._state, self.env.done)
        noise = torch.randn((self.num_envs, len(self._others)), device=self.device, generator=self.partner_generator)
        joint = self._joint_action(mean, noise, action)
        self._state = latch(self._state, state)
        self.env.step(joint)
        self._mirror()
        return self.obs, self.reward, self.terminated, self.truncated

    def _mean_of_partner(self, obs: Tensor, state: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Means (N, D) of raw observations (N, O), and the partner's state."""
        return self.partner.actor_step(self.partner.obs_norm(obs), state, fresh)

    def _joined(self, mean: Tensor, noise: Tensor, action: Tensor) -> Tensor:
        """Actions (N, D): the partner's samples and the learner's actions, each in its place."""
        theirs = mean.index_select(1, self._others) + self._std * noise
        return torch.cat((theirs, action), dim=1).index_select(1, self._order)

    def _mirror(self) -> None:
        """Show the body's tensors as one's own; on a CPU some of them are others after each step."""
        env = self.env
        self.obs, self.final_obs = env.obs, env.final_obs
        self.reward, self.reward_terms = env.reward, env.reward_terms
        self.terminated, self.truncated, self.succeeded = env.terminated, env.truncated, env.succeeded
        self.episode_return, self.episode_length = env.episode_return, env.episode_length
