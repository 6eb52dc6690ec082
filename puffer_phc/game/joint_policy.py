"""Several networks that move one body together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from puffer_phc.policies.actor_critic import ActorCritic, PolicyConfig, Trunk
from puffer_phc.policies.normalizer import RunningNorm

Baseline = Literal["own", "partner"]
_FAR = 10.0  # standard deviations that a partner's action may seem to be away from 0, as for observations


class SharedObservations(RunningNorm):
    """Hands observations on as they are: each agent scales them in its own way, and none may change them.

    Attributes:
        followers: normalisers of the agents that learn; whatever statistics this one takes up, they do.
    """

    def __init__(self, size: int, followers: Sequence[RunningNorm]) -> None:
        super().__init__(size)
        self.followers = tuple(followers)

    def forward(self, obs: Tensor) -> Tensor:
        """``obs`` itself."""
        return obs

    @torch.no_grad()
    def merge(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        """As :meth:`RunningNorm.merge`, and for all followers."""
        for norm in self.followers:
            norm.settled = self.settled
            norm.merge(mean, var, count)
        super().merge(mean, var, count)


class _StateOf(nn.Module):
    """Stands where a network would, for the size of its recurrent state."""

    def __init__(self, state_size: int) -> None:
        super().__init__()
        self.state_size = state_size


def make_learner(
    num_obs: int, num_actions: int, cfg: PolicyConfig, hidden: tuple[int, ...], partner_actions: int = 0
) -> ActorCritic:
    """A network for one agent; with ``partner_actions`` its critic also takes these, and whether they are known."""
    learner = ActorCritic(num_obs, num_actions, cfg, hidden)
    if partner_actions:
        learner.critic = Trunk(num_obs + partner_actions + 1, hidden, 0, cfg.style)
    return learner


class JointPolicy(ActorCritic):
    """The policy of a whole body: ``human`` moves some degrees of freedom, ``learner`` the others.

    An :class:`ActorCritic` to those who act, evaluate or train with it, but its methods take observations as they come
    from the environment, and log densities have one number for each agent that learns, the learner's first.

    Attributes:
        human: a policy of the whole body, of which only its own part is heard; not trained unless told to.
        learner: moves the other degrees of freedom.
        conditioned: the learner's critic can be told what the human did.
        value_scale: of the human's values, where they are the baseline.
        ratio_shape: (A,) agents that learn.
    """

    def __init__(
        self,
        human: ActorCritic,
        learner: ActorCritic,
        dofs: Sequence[int],
        train_human: bool = False,
        conditioned: bool = False,
        baseline: Baseline = "own",
        value_scale: float = 1.0,
    ) -> None:
        """``dofs`` are the learner's.

        Args:
            human, learner: networks; the learner's may be in training elsewhere.
            dofs: degrees of freedom of the body, in the order of the learner's actions.
            train_human: train the human's actor, too.
            conditioned: the learner was made with ``partner_actions``.
            baseline: whose values the joint policy has: the learner's own, or the partner's, frozen.
            value_scale: multiplies the partner's.
        """
        nn.Module.__init__(self)
        self.human, self.learner = human, learner
        self.num_obs, self.num_actions = human.num_obs, human.num_actions
        self.actor_in_fp16 = learner.actor_in_fp16
        self.conditioned, self._train_human = conditioned, train_human
        self._baseline, self.value_scale = baseline, value_scale
        own, device = list(dofs), learner.log_std.device
        others = [dof for dof in range(self.num_actions) if dof not in set(own)]
        for name, ids in (("_own", own), ("_others", others)):
            self.register_buffer(name, torch.tensor(ids, device=device), persistent=False)
        self.register_buffer("_order", torch.tensor(others + own, device=device).argsort(), persistent=False)
        human.requires_grad_(False)
        if train_human:
            human.actor.requires_grad_(True)
            human.mean_head.requires_grad_(True)
            human.log_std.requires_grad_(isinstance(human.log_std, nn.Parameter))
        if baseline == "partner":
            learner.critic.requires_grad_(False)
            learner.value_head.requires_grad_(False)
        trained = [learner, human] if train_human else [learner]
        self.ratio_shape: tuple[int, ...] = (len(trained),)
        self.obs_norm = SharedObservations(self.num_obs, [member.obs_norm for member in trained]).to(device)
        self.actor = _StateOf(human.actor.state_size + learner.actor.state_size)  # type: ignore[assignment]
        self.critic = _StateOf(0 if baseline == "partner" else learner.critic.state_size)  # type: ignore[assignment]
        self.state_size = self.actor.state_size + self.critic.state_size

    _own: Tensor
    _others: Tensor
    _order: Tensor

    @property
    def log_std(self) -> Tensor:  # type: ignore[override]
        """(D,), of the agents together."""
        return torch.cat((self.human.log_std[self._others], self.learner.log_std))[self._order]

    @property
    def agents_dofs(self) -> tuple[Tensor, ...]:
        """Degrees of freedom of each agent that learns."""
        return (self._own, self._others)[: self.ratio_shape[0]]

    # -- acting ------------------------------------------------------------------------------------------------------

    def means(self, obs: Tensor, actor_state: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Means (S, L, D) of raw observations (S, L, O), and the actors' states."""
        human, learner = self.human, self.learner
        first, second = actor_state.split((human.actor.state_size, learner.actor.state_size), dim=-1)
        theirs, first = human.means(human.obs_norm(obs), first, fresh)
        own, second = learner.means(learner.obs_norm(obs), second, fresh)
        return self._joined(theirs.index_select(-1, self._others), own), torch.cat((first, second), dim=-1)

    def _joined(self, others: Tensor, own: Tensor) -> Tensor:
        """(..., D) in the order of the body."""
        return torch.cat((others, own), dim=-1).index_select(-1, self._order)

    # -- valuing -----------------------------------------------------------------------------------------------------

    def values(self, obs: Tensor, critic_state: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Values (S, L) of raw observations (S, L, O), and the critic's state."""
        if self._baseline == "partner":
            human = self.human
            return human.values(human.obs_norm(obs), critic_state, fresh)[0] * self.value_scale, critic_state
        seen = self.learner.obs_norm(obs)
        if self.conditioned:
            seen = torch.cat((seen, seen.new_zeros(*seen.shape[:-1], len(self._others) + 1)), dim=-1)
        return self.learner.values(seen, critic_state, fresh)

    def values_knowing(self, obs: Tensor, action: Tensor) -> Tensor:
        """Values (S, L) of raw observations (S, L, O) where the partner's part of the actions (S, L, D) is known."""
        # In standard deviations, so that what the partner did beside its mean is as large as anything observed.
        theirs = action.index_select(-1, self._others) * torch.exp(-self.human.log_std[self._others]).detach()
        known = torch.ones_like(theirs[..., :1])
        seen = torch.cat((self.learner.obs_norm(obs), theirs.clamp(-_FAR, _FAR), known), dim=-1)
        no_state, going_on = seen.new_zeros(len(seen), 0), torch.zeros_like(seen[..., 0], dtype=torch.bool)
        return self.learner.values(seen, no_state, going_on)[0]

    # -- learning ----------------------------------------------------------------------------------------------------

    def forward(
        self, obs: Tensor, state: Tensor, fresh: Tensor, action: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Means, values and state; with the ``action`` taken (S, L, D) only what learning from it needs.

        Then the means of an agent that does not learn are its actions, and values are (S, L, 2) with a conditioned
        critic: without and with the knowledge of what the partner did.
        """
        if action is None:
            return super().forward(obs, state, fresh)
        own, _ = self.learner.means(self.learner.obs_norm(obs), state, fresh)
        if self._train_human:
            theirs, _ = self.human.means(self.human.obs_norm(obs), state, fresh)
        else:
            theirs = action
        mean = self._joined(theirs.index_select(-1, self._others), own)
        values, _ = self.values(obs, state, fresh)
        if self.conditioned:
            values = torch.stack((values, self.values_knowing(obs, action)), dim=-1)
        return mean, values, state

    def log_prob(self, mean: Tensor, action: Tensor) -> Tensor:
        """Log densities (..., A) of each learning agent's part of unclipped actions (..., D)."""
        log_std = self.log_std
        scaled = ((action - mean) * torch.exp(-log_std)).square()
        parts = []
        for dofs in self.agents_dofs:
            constant = log_std[dofs].sum() + 0.5 * len(dofs) * math.log(2 * math.pi)
            parts.append(-0.5 * scaled.index_select(-1, dofs).sum(dim=-1) - constant)
        return torch.stack(parts, dim=-1)

    def entropy(self) -> Tensor:
        """Entropy of what the learning agents do."""
        members = (self.learner.log_std, self.human.log_std[self._others])[: self.ratio_shape[0]]
        return torch.stack([std.sum() + 0.5 * len(std) * (1 + math.log(2 * math.pi)) for std in members]).sum()
