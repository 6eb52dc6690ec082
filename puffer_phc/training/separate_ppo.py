"""MimicKit's way of learning from a rollout: first the critic, then the actor, each in passes of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gymtorch import fused
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training.distributed import World
from puffer_phc.training.ppo import (
    METRIC_NAMES,
    Batch,
    Batches,
    PPOConfig,
    clipped_value_loss,
    make_optimizer,
    scaler_state,
)
from puffer_phc.training.recorded import RecordedStep
from puffer_phc.training.rollout import RolloutBuffer

_LEAST_DEVIATION = 1e-5


class SeparatePPO:
    """Takes the place of :class:`puffer_phc.training.ppo.PPO` with ``train.separate``; the interface is the same.

    Actions that were means, not samples, say nothing about the actor: only samples count in the standardisation of
    advantages and in the actor's loss. The critic learns from all steps.

    Attributes:
        optimizer: one group of parameters for the critic, one for the actor; a pass changes only what it has gradients
            for.
        learning_rate: () tensor, the actor's, fixed.
        updates: rollouts learned from so far.
        target_kl: no use is made of it.
        initial: empty.
        steps: what learns from one minibatch, of the critic and of the actor.
    """

    def __init__(self, policy: ActorCritic, cfg: PPOConfig, world: World | None = None) -> None:
        self.policy, self.cfg, self._world = policy, cfg, world or World()
        device = policy.log_std.device
        self.learning_rate = torch.tensor(cfg.learning_rate, device=device)
        self._critic = [*policy.critic.parameters(), *policy.value_head.parameters()]
        self._actor = [p for p in policy.parameters() if not any(p is own for own in self._critic)]
        self._world.share_weights(policy)
        critic_rate = torch.tensor(cfg.critic_learning_rate, device=device)
        groups = [{"params": self._critic, "lr": critic_rate}, {"params": self._actor, "lr": self.learning_rate}]
        self.optimizer = make_optimizer(groups, cfg)
        scaled = policy.actor_in_fp16 and device.type == "cuda"
        self._scaler = torch.amp.GradScaler(device.type, enabled=scaled)  # see PPO
        self._critic_step = self._recorded(self._critic_gradients, self._apply_to_critic)
        self._actor_step = self._recorded(self._actor_gradients, self._apply_to_actor)
        self.steps = [self._critic_step, self._actor_step]
        self._means, self._values = fused(policy.means, device), fused(policy.values, device)
        self.updates, self.target_kl = 0, cfg.target_kl
        self.initial: list[Tensor] = []

    def restore(self, optimizer: dict[str, Any], learning_rate: Tensor, updates: int, initial: list[Tensor]) -> None:
        """Go on from saved state, with the rates of this run's options."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(optimizer)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.updates = updates
        for step in self.steps:
            step.forget()

    def update(self, buffer: RolloutBuffer, advantages: Tensor, returns: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`puffer_phc.training.ppo.PPO.update`; metrics are means over the passes that they belong to."""
        cfg = self.cfg
        advantages = self.standardised(advantages, buffer.explored)
        batches = Batches(self.policy, buffer, advantages, returns, [buffer.explored])
        total = torch.zeros(len(METRIC_NAMES), device=advantages.device)
        parts = self._parts(batches, cfg.critic_epochs, cfg.critic_minibatches, generator)
        for ids in parts:
            total[1] += self._critic_step(*batches.fields(ids, self._critic_step.inputs))[0] / len(parts)
        parts = self._parts(batches, cfg.epochs, cfg.minibatches, generator)
        for number, ids in enumerate(parts):
            metrics = self._actor_step(*batches.fields(ids, self._actor_step.inputs))
            total[0] += metrics[0] / len(parts)
            total[2:-1] += metrics[2:-1] / len(parts)
            if number == 0:
                total[-1] = metrics[-1]
        self.updates += 1
        return total

    def standardised(self, advantages: Tensor, counted: Tensor) -> Tensor:
        """Advantages (T, N) of mean 0 and deviation 1 over what is ``counted`` (T, N) on all ranks, then clipped."""
        count = counted.sum(dtype=advantages.dtype)
        total = (advantages * counted).sum()
        self._world.sum_([count, total])
        centred = advantages - total / count.clamp_min(1.0)
        square = (centred.square() * counted).sum()
        self._world.sum_([square])
        deviation = (square / (count - 1.0).clamp_min(1.0)).sqrt().clamp_min(_LEAST_DEVIATION)
        limit = self.cfg.advantage_clip or math.inf
        return (centred / deviation).clamp(-limit, limit)

    def critic_loss(self, batch: Batch) -> Tensor:
        """Squared error () of the values of a minibatch."""
        values, _ = self._values(batch.obs, batch.state[:, self.policy.actor.state_size :], batch.fresh)
        return clipped_value_loss(values, batch.value, batch.returns, self.cfg.value_clip)

    def actor_loss(self, batch: Batch, explored: Tensor) -> tuple[Tensor, Tensor]:
        """Loss () of a minibatch where ``explored`` (S, L) is 1, and its metrics (8,), detached."""
        cfg, policy = self.cfg, self.policy
        mean, _ = self._means(batch.obs, batch.state[:, : policy.actor.state_size], batch.fresh)
        weight = explored / explored.sum().clamp_min(1.0)
        log_ratio = policy.log_prob(mean, batch.action) - batch.log_prob
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - cfg.clip, 1 + cfg.clip)
        surrogate = torch.minimum(ratio * batch.advantage, clipped * batch.advantage)
        policy_loss = -(weight * surrogate).sum()
        bound_loss = (weight * (mean.abs() - cfg.action_bound).clamp_min(0.0).square().mean(dim=-1)).sum()
        loss = policy_loss + cfg.bound_coef * bound_loss
        if cfg.action_coef:
            loss = loss + cfg.action_coef * (weight * mean.square().sum(dim=-1)).sum()
        if cfg.entropy_coef:
            loss = loss - cfg.entropy_coef * policy.entropy()
        with torch.no_grad():
            kl = (weight * (ratio - 1 - log_ratio)).sum()
            outside = (weight * ((ratio - 1).abs() > cfg.clip)).sum()
            error = ((ratio - 1).abs() * explored).amax()
            zero = torch.zeros_like(kl)
            metrics = torch.stack((policy_loss, zero, bound_loss, zero, kl, outside, zero, error)).detach()
        return loss, metrics

    def rehearse(self, buffer: RolloutBuffer) -> None:
        """Do the work of one minibatch of each kind without its effect, so that what must be compiled is."""
        blank = torch.zeros_like(buffer.values)
        batches = Batches(self.policy, buffer, blank, blank, [buffer.explored])
        everything = torch.arange(batches.count, device=blank.device)
        self._critic_step.rehearse(*batches.fields(everything.chunk(self.cfg.critic_minibatches)[0]))
        self._actor_step.rehearse(*batches.fields(everything.chunk(self.cfg.minibatches)[0]))

    def _parts(self, batches: Batches, epochs: int, count: int, generator: torch.Generator) -> list[Tensor]:
        """Samples of all minibatches, in a new order every epoch."""
        device = self.learning_rate.device
        orders = [torch.randperm(batches.count, device=device, generator=generator) for _ in range(epochs)]
        return [ids for order in orders for ids in order.chunk(count)]

    def _recorded(self, gradients: Callable[..., Tensor], apply: Callable[[Tensor], Tensor]) -> RecordedStep:
        device = self.learning_rate.device
        return RecordedStep(gradients, apply, self.optimizer, self._changing, device, self._world)

    def _changing(self) -> list[Tensor]:
        return scaler_state(self._scaler, self.learning_rate.device)

    def _critic_gradients(self, *sample: Tensor) -> Tensor:
        loss = self.critic_loss(Batch(*sample[:-1]))
        loss.backward()
        return loss.detach()[None]

    def _apply_to_critic(self, metrics: Tensor) -> Tensor:
        nn.utils.clip_grad_norm_(self._critic, self.cfg.max_grad_norm or math.inf)
        self.optimizer.step()
        return metrics

    def _actor_gradients(self, *sample: Tensor) -> Tensor:
        loss, metrics = self.actor_loss(Batch(*sample[:-1]), sample[-1])
        self._scaler.scale(loss).backward()
        return metrics

    def _apply_to_actor(self, metrics: Tensor) -> Tensor:
        self._scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self._actor, self.cfg.max_grad_norm or math.inf)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        metrics[6] = norm.nan_to_num(nan=0.0, posinf=0.0)
        return metrics
