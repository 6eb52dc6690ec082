"""The PPO update."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training.distributed import World
from puffer_phc.training.recorded import RecordedStep
from puffer_phc.training.rollout import RolloutBuffer

METRIC_NAMES = (
    "policy_loss",
    "value_loss",
    "bound_loss",
    "l2_init_loss",
    "approx_kl",
    "clip_fraction",
    "grad_norm",
    "ratio_error_first",
)
OptimizerName = Literal["adam", "sgd"]


@dataclass(frozen=True)
class PPOConfig:
    """The update of one rollout.

    Attributes:
        minibatches: parts that each epoch is cut into, in a new random order every time.
        epochs: passes over the rollout.
        gamma, gae_lambda: discount and advantage decay.
        clip: half width of the trusted range of the importance ratio.
        value_clip: as ``clip``, for the change of the value; 0 turns clipping off.
        value_coef, entropy_coef, bound_coef, l2_init_coef: weights of the losses.
        action_bound: action means beyond this are pulled back by the bound loss.
        learning_rate: of the first update; afterwards it follows ``target_kl``.
        target_kl: the learning rate goes down when a minibatch moved the policy by twice this, up below half of it;
            0 keeps the learning rate fixed.
        min_learning_rate, max_learning_rate: its range.
        warmup_updates: updates over which the learning rate rises linearly to its value.
        max_grad_norm: gradients are scaled down to this norm; 0 leaves them as they are.
        segment: steps of back-propagation through time; only for recurrent policies.
        optimizer: adam or sgd.
        momentum: of sgd.
        separate: learn in MimicKit's way: first the critic, in passes of its own, then the actor; advantages are
            standardised over the whole rollout, learning rates are fixed. The options below are for this way alone.
        critic_epochs, critic_minibatches: of the critic; epochs and minibatches are the actor's.
        critic_learning_rate: of the critic; learning_rate is the actor's.
        advantage_clip: standardised advantages are clipped to this; 0 leaves them as they are.
        action_coef: weight of the squared action means, summed over actions.
    """

    minibatches: int = 4
    epochs: int = 4
    gamma: float = 0.97
    gae_lambda: float = 0.9
    clip: float = 0.3
    value_clip: float = 0.2
    value_coef: float = 1.2
    entropy_coef: float = 0.0
    bound_coef: float = 10.0
    l2_init_coef: float = 0.0
    action_bound: float = 0.9
    learning_rate: float = 2e-5
    target_kl: float = 0.1
    min_learning_rate: float = 1e-6
    max_learning_rate: float = 2e-3
    warmup_updates: int = 0
    max_grad_norm: float = 10.0
    segment: int = 8
    optimizer: OptimizerName = "adam"
    momentum: float = 0.9
    separate: bool = False
    critic_epochs: int = 2
    critic_minibatches: int = 16
    critic_learning_rate: float = 1e-4
    advantage_clip: float = 0.0
    action_coef: float = 0.0


LR_FACTOR = 1.5


class PPO:
    """Optimiser and losses; the learning rate lives on the device, so adapting it never waits for it.

    Attributes:
        optimizer: over all parameters.
        learning_rate: () tensor, before warm-up.
        updates: rollouts learned from so far.
        step: learns from one minibatch, given as the fields of a :class:`Batch`; returns metrics.
        steps: the same, as a list.
        target_kl: of the next update; the trainer lowers it towards the end of a run.
        initial: copies of the parameters at the start, for the pull back to them; empty when that is off.
    """

    def __init__(self, policy: ActorCritic, cfg: PPOConfig, world: World | None = None) -> None:
        self.policy, self.cfg, self._world = policy, cfg, world or World()
        self._world.share_weights(policy)
        device = policy.log_std.device
        self.learning_rate = torch.tensor(cfg.learning_rate, device=device)
        self._applied_rate = self.learning_rate.clone()
        self.optimizer = make_optimizer([{"params": policy.parameters(), "lr": self._applied_rate}], cfg)
        # Gradients of a mean over many samples are tiny, in fp16 mostly zero: scaled up, they are not. An update whose
        # scaled gradients overflowed is left out and the scale lowered, all on the device.
        self._scaler = torch.amp.GradScaler(device.type, enabled=policy.actor_in_fp16 and device.type == "cuda")
        self.updates = 0
        self.target_kl = cfg.target_kl
        self._target_kl, self._warmth = torch.tensor(cfg.target_kl, device=device), torch.ones((), device=device)
        self.step = RecordedStep(self._gradients, self._apply, self.optimizer, self._changing, device, self._world)
        self.steps = [self.step]
        self.initial = [parameter.detach().clone() for parameter in policy.parameters()] if cfg.l2_init_coef else []

    def restore(self, optimizer: dict[str, Any], learning_rate: Tensor, updates: int, initial: list[Tensor]) -> None:
        """Go on from saved state; the optimiser goes on sharing this object's learning-rate tensor.

        ``initial`` counts where both the saved run and this one pull towards it: a pull that is new begins here, one
        that is off needs none.
        """
        self.optimizer.load_state_dict(optimizer)
        self.learning_rate.copy_(learning_rate)
        self._applied_rate.copy_(self.optimizer.param_groups[0]["lr"])
        self.optimizer.param_groups[0]["lr"] = self._applied_rate
        self.updates = updates
        self.step.forget()
        if self.initial and initial:
            for own, saved in zip(self.initial, initial, strict=True):
                own.copy_(saved)

    def update(self, buffer: RolloutBuffer, advantages: Tensor, returns: Tensor, generator: torch.Generator) -> Tensor:
        """Learn from one rollout.

        Args:
            buffer: the rollout.
            advantages, returns: (T, N) from :func:`puffer_phc.training.advantage.gae`.
            generator: draws the order of samples.

        Returns:
            Metrics (8,) in the order of ``METRIC_NAMES``, means over all minibatches, on the device.
        """
        batches = Batches(self.policy, buffer, advantages, returns)
        self._target_kl.fill_(self.target_kl)
        self._warmth.fill_(min(1.0, (self.updates + 1) / (self.cfg.warmup_updates + 1)))
        total = torch.zeros(len(METRIC_NAMES), device=advantages.device)
        count = 0
        for _ in range(self.cfg.epochs):
            order = torch.randperm(batches.count, device=advantages.device, generator=generator)
            for ids in order.chunk(self.cfg.minibatches):
                sample = batches.fields(ids, self.step.inputs)
                self.standardise_(sample[_ADVANTAGE])
                metrics = self.step(*sample)
                total[:-1] += metrics[:-1]
                if count == 0:
                    total[-1] = metrics[-1]
                count += 1
        self.updates += 1
        total[:-1] /= count
        return total

    def _gradients(self, *sample: Tensor) -> Tensor:
        loss, metrics = self.loss(Batch(*sample))
        self._scaler.scale(loss).backward()
        return metrics

    def _apply(self, metrics: Tensor) -> Tensor:
        self._scaler.unscale_(self.optimizer)
        grad_norm = nn.utils.clip_grad_norm_(self.policy.parameters(), self.cfg.max_grad_norm or math.inf)
        self._adapt_learning_rate(metrics[4])
        self._scaler.step(self.optimizer)
        self._scaler.update()
        metrics[6] = grad_norm.nan_to_num(nan=0.0, posinf=0.0)  # of updates that were left out: none
        return metrics

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Total loss () of a minibatch with standardised advantages, and its metrics (8,), detached."""
        cfg, policy = self.cfg, self.policy
        mean, value, _ = policy(batch.obs, batch.state, batch.fresh)
        log_ratio = policy.log_prob(mean, batch.action) - batch.log_prob
        ratio = log_ratio.exp()
        clipped_ratio = ratio.clamp(1 - cfg.clip, 1 + cfg.clip)
        surrogate = torch.minimum(ratio * batch.advantage, clipped_ratio * batch.advantage)
        policy_loss = -surrogate.mean()
        value_loss = clipped_value_loss(value, batch.value, batch.returns, cfg.value_clip)
        bound_loss = (mean.abs() - cfg.action_bound).clamp_min(0.0).square().mean()
        loss, l2_init = self._total(policy_loss, value_loss, bound_loss)
        with torch.no_grad():
            # Schulman's low-variance estimate of KL(old || new).
            approx_kl = (ratio - 1 - log_ratio).mean()
            clipped = ((ratio - 1).abs() > cfg.clip).float().mean()
            error = (ratio - 1).abs().amax()
            zero = torch.zeros_like(error)
            metrics = torch.stack(
                (policy_loss, value_loss, bound_loss, l2_init, approx_kl, clipped, zero, error)
            ).detach()
        return loss, metrics

    def _total(self, policy_loss: Tensor, value_loss: Tensor, bound_loss: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted sum () of all losses, and the pull to the initial weights () that is part of it."""
        cfg, policy = self.cfg, self.policy
        loss = policy_loss + cfg.value_coef * value_loss + cfg.bound_coef * bound_loss
        l2_init = torch.zeros_like(loss)
        if cfg.l2_init_coef:
            pairs = zip(policy.parameters(), self.initial, strict=True)
            l2_init = torch.stack([(now - start).square().mean() for now, start in pairs]).sum()
            loss = loss + cfg.l2_init_coef * l2_init
        if cfg.entropy_coef:
            loss = loss - cfg.entropy_coef * policy.entropy()
        return loss, l2_init

    def rehearse(self, buffer: RolloutBuffer) -> None:
        """Do the work of one minibatch without its effect, so that what must be compiled is."""
        blank = torch.zeros_like(buffer.values)
        batches = Batches(self.policy, buffer, blank, blank)
        ids = torch.arange(batches.count, device=blank.device).chunk(self.cfg.minibatches)[0]
        self.step.rehearse(*batches.fields(ids))

    def _changing(self) -> list[Tensor]:
        """What a step changes beside weights and the optimiser's state."""
        return [self.learning_rate, self._applied_rate, *scaler_state(self._scaler, self.learning_rate.device)]

    def standardise_(self, advantage: Tensor) -> None:
        """Give a minibatch's advantages (S, L) mean 0 and deviation 1 over all ranks, in place.

        Those of several agents, (S, L, A), each for itself. A single one has no deviation and stays what it is.
        """
        count = math.prod(advantage.shape[:2]) * self._world.size
        if count == 1:
            return
        advantage -= self._world.mean(advantage.mean(dim=(0, 1)))
        var = self._world.mean(advantage.square().mean(dim=(0, 1))) * (count / (count - 1))
        advantage /= var.sqrt() + 1e-8

    def _adapt_learning_rate(self, kl: Tensor) -> None:
        cfg, rate = self.cfg, self.learning_rate
        if cfg.target_kl:
            rate = torch.where(kl > 2 * self._target_kl, rate / LR_FACTOR, rate)
            rate = torch.where(kl < 0.5 * self._target_kl, rate * LR_FACTOR, rate)
            self.learning_rate.copy_(rate.clamp(cfg.min_learning_rate, cfg.max_learning_rate))
        self._applied_rate.copy_(self.learning_rate * self._warmth)


@dataclass(frozen=True)
class Batch:
    """S sequences of L steps (L = 1 without recurrence); shapes as in :class:`Batches`."""

    obs: Tensor
    action: Tensor
    log_prob: Tensor
    value: Tensor
    advantage: Tensor
    returns: Tensor
    fresh: Tensor
    state: Tensor


_ADVANTAGE = list(Batch.__annotations__).index("advantage")


class Batches:
    """A rollout cut into ``count`` sequences of ``length`` steps that can be drawn in any order."""

    def __init__(
        self,
        policy: ActorCritic,
        buffer: RolloutBuffer,
        advantages: Tensor,
        returns: Tensor,
        more: Sequence[Tensor] = (),
    ) -> None:
        """``more`` (T, N, ...) are fields that follow those of a :class:`Batch`."""
        self.length = buffer.segment if policy.recurrent else 1
        self._fields = [
            self.sequences(tensor)
            for tensor in (
                buffer.obs,
                buffer.actions,
                buffer.log_probs,
                buffer.values,
                advantages,
                returns,
                buffer.fresh,
            )
        ]
        self.count = self._fields[0].shape[0]
        self._states = buffer.states.flatten(0, 1)
        if not policy.recurrent:
            self._states = self._states.new_zeros(1, 0).expand(self.count, 0)
        self._more = [self.sequences(tensor) for tensor in more]

    def sequences(self, tensor: Tensor) -> Tensor:
        """(T, N, ...) to (T / L * N, L, ...); a view when L = 1."""
        horizon, envs = tensor.shape[:2]
        if self.length == 1:
            return tensor.reshape(horizon * envs, 1, *tensor.shape[2:])
        parts = tensor.reshape(horizon // self.length, self.length, envs, *tensor.shape[2:])
        return parts.transpose(1, 2).flatten(0, 1)

    def take(self, ids: Tensor) -> Batch:
        """The sequences ``ids`` (S,)."""
        return Batch(*self.fields(ids))

    def fields(self, ids: Tensor, into: list[Tensor] | None = None) -> list[Tensor]:
        """The fields of :meth:`take`, written ``into`` tensors if these fit."""
        fields = (*self._fields, self._states, *self._more)
        if into is None or len(into[0]) != len(ids):
            return [field.index_select(0, ids) for field in fields]
        return [torch.index_select(field, 0, ids, out=own) for field, own in zip(fields, into, strict=True)]


def make_optimizer(groups: Iterable[dict[str, Any]], cfg: PPOConfig) -> torch.optim.Optimizer:
    """The optimiser that ``cfg`` names, of parameter groups that say their own learning rate."""
    if cfg.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=cfg.momentum, fused=True)
    return torch.optim.Adam(groups, eps=1e-5, fused=True)


def clipped_value_loss(value: Tensor, old_value: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Mean squared error, or with ``clip`` the larger of it and that of a value held near its old one."""
    error = (value - returns).square()
    if clip:
        held = old_value + (value - old_value).clamp(-clip, clip)
        error = torch.maximum(error, (held - returns).square())
    return error.mean()


def scaler_state(scaler: torch.amp.GradScaler, device: torch.device) -> list[Tensor]:
    """The tensors that ``scaler`` changes, made if it has none yet."""
    scaler.scale(torch.zeros((), device=device))
    return [tensor for tensor in (scaler._scale, scaler._growth_tracker) if tensor is not None]
