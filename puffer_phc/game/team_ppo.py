"""PPO for joint actions: a ratio of its own, and an advantage of its own, for each agent that learns."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from gymtorch import fused
from puffer_phc.config import Config
from puffer_phc.game.joint_policy import JointPolicy
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training.distributed import World
from puffer_phc.training.learner import Learner
from puffer_phc.training.ppo import PPO, Batch, PPOConfig, clipped_value_loss
from puffer_phc.training.rollout import RolloutBuffer

AGENT_NAMES = ("learner", "human")


class TeamPPO(PPO):
    """:class:`PPO` of a :class:`JointPolicy`.

    Let ``A`` be the team's advantage, estimated from state values V(s) alone. The human's, where it learns, is ``A``.
    The learner's is ``A - (Q(s, a_h) - V(s))`` with a conditioned critic, which also learns Q from the same returns:
    what the partner's action explains is left out. It depends on nothing that the learner decides, so the gradient
    stays what it is and only its variance falls.

    Attributes:
        credit: (3,) of the last update: for the learner and the human, the mean over minibatches of standardised
            advantage times log ratio, which is how far the update moved the agent towards what paid; and the share of
            the advantage's variance that the partner's action explains.
    """

    def __init__(self, policy: JointPolicy, cfg: PPOConfig, world: World | None = None) -> None:
        super().__init__(policy, cfg, world)
        self._joint = policy
        self._knowing = fused(policy.values_knowing, policy.log_std.device)
        self.credit = torch.zeros(3, device=policy.log_std.device)

    def update(self, buffer: RolloutBuffer, advantages: Tensor, returns: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`PPO.update`; ``advantages`` (T, N) are the team's."""
        self.credit.zero_()
        shares = self.shares(buffer, advantages)
        if self._joint.conditioned:
            own, team = shares[..., 0].var(), advantages.var()
            self.credit[2] = 1.0 - own / team.clamp_min(1e-12)
        metrics = super().update(buffer, shares, returns, generator)
        self.credit[:2] /= self.cfg.epochs * self.cfg.minibatches
        self.credit = self._world.mean(self.credit)
        return metrics

    def rehearse(self, buffer: RolloutBuffer) -> None:
        """See :meth:`PPO.rehearse`; what the critic says of joint actions is compiled, too."""
        super().rehearse(buffer)
        self.shares(buffer, torch.zeros_like(buffer.values))

    @torch.no_grad()
    def shares(self, buffer: RolloutBuffer, advantages: Tensor) -> Tensor:
        """Advantages (T, N, A) of each agent from the team's (T, N), by the critic as it was during the rollout."""
        own = advantages
        if self._joint.conditioned:
            pairs = zip(buffer.obs, buffer.actions, strict=True)
            known = torch.stack([self._knowing(obs[:, None], action[:, None])[:, 0] for obs, action in pairs])
            own = advantages - (known - buffer.values)
        return torch.stack((own, advantages)[: self._joint.ratio_shape[0]], dim=-1)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """As :meth:`PPO.loss`, the agents' surrogates added up and a conditioned critic's two losses averaged."""
        cfg, policy = self.cfg, self._joint
        mean, values, _ = policy(batch.obs, batch.state, batch.fresh, batch.action)
        log_ratio = policy.log_prob(mean, batch.action) - batch.log_prob  # (S, L, A)
        ratio = log_ratio.exp()
        advantage = batch.advantage if batch.advantage.dim() == 3 else batch.advantage[..., None]
        surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - cfg.clip, 1 + cfg.clip) * advantage)
        policy_loss = -surrogate.mean(dim=(0, 1)).sum()
        value_loss = self._value_loss(values, batch)
        bound_loss = self._bound_loss(mean)
        loss, l2_init = self._total(policy_loss, value_loss, bound_loss)
        with torch.no_grad():
            self.credit[: log_ratio.shape[-1]] += (advantage * log_ratio).mean(dim=(0, 1))
            kl = (ratio - 1 - log_ratio).sum(dim=-1).mean()  # of independent agents' actions together
            clipped = ((ratio - 1).abs() > cfg.clip).float().mean()
            error = (ratio - 1).abs().amax()
            zero = torch.zeros_like(error)
            metrics = torch.stack((policy_loss, value_loss, bound_loss, l2_init, kl, clipped, zero, error)).detach()
        return loss, metrics

    def _value_loss(self, values: Tensor, batch: Batch) -> Tensor:
        if not self._joint.conditioned:
            return clipped_value_loss(values, batch.value, batch.returns, self.cfg.value_clip)
        blind = clipped_value_loss(values[..., 0], batch.value, batch.returns, self.cfg.value_clip)
        return 0.5 * (blind + (values[..., 1] - batch.returns).square().mean())

    def _bound_loss(self, mean: Tensor) -> Tensor:
        over = (mean.abs() - self.cfg.action_bound).clamp_min(0.0).square()
        return torch.stack([over.index_select(-1, dofs).mean() for dofs in self._joint.agents_dofs]).sum()


class TeamLearner(Learner):
    """:class:`Learner` of a :class:`JointPolicy`, whose environment is the whole body."""

    def _make_ppo(self, cfg: Config, policy: ActorCritic) -> PPO:
        return TeamPPO(cast(JointPolicy, policy), cfg.train, self.world)

    def more_metrics(self) -> dict[str, float]:
        """Credit of the agents, see :class:`TeamPPO`; reading it waits for the device."""
        *gains, explained = cast(TeamPPO, self.ppo).credit.tolist()
        policy = cast(JointPolicy, self.policy)
        agents = AGENT_NAMES[: policy.ratio_shape[0]]
        metrics = {f"game/{name}_gain": gain for name, gain in zip(agents, gains, strict=False)}
        if policy.conditioned:
            metrics["game/explained_by_partner"] = explained
        return metrics
