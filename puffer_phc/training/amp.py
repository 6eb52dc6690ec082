"""Adversarial motion priors: a discriminator learns what recorded motion looks like, and rewards the policy for it.

Sources: HumanoidAMP (``amp``) and MimicKit's ADD (``add``, which judges the difference from the reference); formulas
and defaults in ``docs/amp.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gymtorch import fused
from puffer_phc.envs.style_history import StyleHistory
from puffer_phc.motions.sampler import MotionSampler, SamplingConfig
from puffer_phc.policies.discriminator import DifferenceScale, Discriminator, StyleKind, style_reward
from puffer_phc.policies.normalizer import RunningNorm
from puffer_phc.training.distributed import World
from puffer_phc.training.precision import network_precision
from puffer_phc.training.recorded import RecordedStep
from puffer_phc.training.replay import ReplayBuffer
from puffer_phc.training.rollout import RolloutBuffer

Root = Literal["auto", "global", "heading"]
STYLE_METRICS = (
    "loss",
    "prediction_loss",
    "grad_penalty",
    "agent_logit",
    "demo_logit",
    "agent_accuracy",
    "demo_accuracy",
    "reward",
)
_FETCH = 4096  # demonstrations looked up at once


@dataclass(frozen=True)
class StyleConfig:
    """Discriminator of motions; it learns where the environment keeps a style history.

    Attributes:
        kind: amp judges motion, add the difference from the reference (tracking only), off leaves the task's reward.
        steps: control steps that are judged together; 0 is auto (amp: 2, with the tracking task 10; add: 1).
        root: whether the root's rotation keeps its heading: global (HumanoidAMP), heading takes it out (PHC), or auto
            (heading with the tracking task).
        hidden: widths of the discriminator's hidden layers; empty is auto (HumanoidAMP's on a GPU, small on a CPU).
        learning_rate: of the discriminator's Adam, fixed.
        task_weight: of the task's reward; negative is auto: 0 where it only says alive, else 1.
        style_weight: of the discriminator's reward.
        reward_scale: multiplies the discriminator's reward.
        batch: rows of each kind (simulated, replayed, recorded) in a gradient step; 0 is auto (HumanoidAMP's 4096 on a
            GPU, 256 on a CPU).
        loss_weight: of the discriminator's loss.
        logit_reg: weight of the squared weights of the last layer.
        grad_penalty: weight of the squared gradient with respect to the normalised recorded motion.
        weight_decay: weight of all squared weights.
        demo_buffer: recorded motions held; 0 is auto (HumanoidAMP's 200,000 on a GPU, 20,000 on a CPU).
        demo_fresh: of these, replaced at each update; negative is auto (HumanoidAMP's 512 on a GPU, 64 on a CPU).
        replay_buffer: simulated motions held; 0 is auto (HumanoidAMP's million on a GPU, 100,000 on a CPU).
        replay_keep: probability that a simulated motion is kept once the buffer is full.
    """

    kind: StyleKind = "amp"
    steps: int = 0
    root: Root = "auto"
    hidden: tuple[int, ...] = ()
    learning_rate: float = 5e-5
    task_weight: float = -1.0
    style_weight: float = 1.0
    reward_scale: float = 2.0
    batch: int = 0
    loss_weight: float = 5.0
    logit_reg: float = 0.05
    grad_penalty: float = 5.0
    weight_decay: float = 1e-4
    demo_buffer: int = 0
    demo_fresh: int = -1
    replay_buffer: int = 0
    replay_keep: float = 0.01


def discriminator_loss(
    discriminator: Discriminator, agent: Tensor, replay: Tensor, demo: Tensor, cfg: StyleConfig
) -> tuple[Tensor, Tensor]:
    """Loss () and the metrics (7,) of ``STYLE_METRICS`` but for the reward, detached.

    Cross entropy, half for simulated (``agent`` and ``replay`` together) and half for recorded motion, plus the
    regularisations of :class:`StyleConfig`. The gradient penalty is zero-centred: ``amp`` takes it at the recorded
    motion alone, ``add`` half there and half at the simulated motion.

    Args:
        discriminator: to be trained.
        agent, replay, demo: (M, F) normalised motions; the three may differ in M.
        cfg: weights and ``kind``.
    """
    fake = torch.cat((agent, replay))
    demo_logit, demo_gradient = discriminator.with_gradient(demo)
    penalty = demo_gradient.square().sum(dim=1).mean()
    if cfg.kind == "add":
        fake_logit, fake_gradient = discriminator.with_gradient(fake)
        penalty = 0.5 * (penalty + fake_gradient.square().sum(dim=1).mean())
    else:
        fake_logit = discriminator(fake)
    # -log(1 - sigmoid(D)) = softplus(D), -log sigmoid(D) = softplus(-D).
    prediction = 0.5 * (softplus(fake_logit).mean() + softplus(-demo_logit).mean())
    weights = discriminator.weights()
    decay = torch.stack([weight.square().sum() for weight in weights])
    loss = prediction + cfg.logit_reg * decay[-1] + cfg.grad_penalty * penalty + cfg.weight_decay * decay.sum()
    loss = cfg.loss_weight * loss
    agent_logit = fake_logit[: len(agent)]
    metrics = torch.stack(
        (
            loss,
            prediction,
            penalty,
            agent_logit.mean(),
            demo_logit.mean(),
            (agent_logit < 0).float().mean(),
            (demo_logit > 0).float().mean(),
        )
    )
    return loss, metrics.detach()


class Demonstrations:
    """Recorded motions drawn from the environment's library, in a store that is renewed bit by bit."""

    def __init__(self, style: StyleHistory, cfg: StyleConfig, generator: torch.Generator) -> None:
        self._style, self._generator = style, generator
        library = style.scene.library
        # Uniform over time whatever the environment's own sampler prefers.
        self._sampler = MotionSampler(library, SamplingConfig(adaptive=0.0), generator)
        self.store = ReplayBuffer(cfg.demo_buffer, style.size, 1.0, style.scene.device)
        self._fresh = cfg.demo_fresh
        for start in range(0, cfg.demo_buffer, _FETCH):
            self.store.add(self.fetch(min(_FETCH, cfg.demo_buffer - start)))

    @torch.no_grad()
    def fetch(self, count: int) -> Tensor:
        """Motions (count, K F) of clips drawn by their weights, at times that have their whole past in the clip."""
        luck = torch.empty(MotionSampler.num_draws, count, device=self._style.scene.device)
        self._sampler.draw(luck)
        clip_ids, _ = self._sampler.sample(luck)
        duration = self._style.scene.library.duration[clip_ids]
        earliest = torch.minimum(duration, torch.full_like(duration, self._style.reach))
        return self._style.recorded(clip_ids, earliest + luck[1] * (duration - earliest))

    def renew(self) -> None:
        """Replace the oldest motions by fresh ones."""
        self.store.add(self.fetch(self._fresh))

    def sample(self, count: int) -> Tensor:
        """Motions (count, K F)."""
        return self.store.sample(count, self._generator)


class StyleLearner:
    """The discriminator, its optimiser and its memory.

    Attributes:
        discriminator: the network; rewards are those of before its update.
        optimizer: Adam of its own, so that the policy's learning rate, which follows a KL, is not its.
        step: learns from raw rows, simulated, replayed and recorded; returns metrics.
        steps: the same, as a list.
    """

    def __init__(
        self, cfg: StyleConfig, style: StyleHistory, updates: int, seed: int, world: World | None = None
    ) -> None:
        """``updates`` gradient steps follow each rollout of the humanoids whose ``style`` is kept."""
        self.cfg, self._style, self._updates, self._world = cfg, style, updates, world or World()
        device = style.scene.device
        self._generator = torch.Generator(device=device).manual_seed(seed)
        self.discriminator = Discriminator(self._style.size, cfg.hidden, cfg.kind).to(device)
        self._world.share_weights(self.discriminator)
        self.optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=cfg.learning_rate, fused=True)
        self.replay = ReplayBuffer(cfg.replay_buffer, self._style.size, cfg.replay_keep, device)
        self._demos = None if cfg.kind == "add" else Demonstrations(self._style, cfg, self._generator)
        self._loss = fused(self._normalised_loss, device)
        self.step = RecordedStep(self._gradients, self._apply, self.optimizer, list, device, self._world)
        self.steps = [self.step]
        self._reward = fused(self._reward_of, device)
        self._mean_reward = torch.zeros((), device=device)
        if self._demos is not None:  # the first rewards, too, are of motions that are scaled sensibly
            self._merge(self._demos.sample(min(cfg.batch, cfg.demo_buffer)))

    # -- reward ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def add_reward(self, buffer: RolloutBuffer) -> None:
        """Mix the reward of style into ``buffer.rewards``, in place; call once, before advantages are estimated."""
        cfg = self.cfg
        with network_precision():
            style = torch.stack([self._reward(rows) for rows in buffer.style])  # (T, N)
        self._mean_reward.copy_(style.mean())
        buffer.rewards.mul_(cfg.task_weight).add_(style, alpha=cfg.style_weight)

    def _reward_of(self, rows: Tensor) -> Tensor:
        logits = self.discriminator(self.discriminator.norm(rows))
        return style_reward(logits, self.cfg.reward_scale)

    # -- learning --------------------------------------------------------------------------------------------------

    def update(self, buffer: RolloutBuffer) -> Tensor:
        """Learn from one rollout; metrics of ``STYLE_METRICS``, means over gradient steps, on the device."""
        rows = buffer.style.flatten(0, 1)
        if self._demos is not None:
            self._demos.renew()
        total = torch.zeros(len(STYLE_METRICS), device=rows.device)
        parts = self._parts(rows)
        for _ in range(self._updates):
            total[:-1] += self.step(*parts)
            parts = self._parts(rows)
        total[:-1] /= self._updates
        total[-1] = self._world.mean(self._mean_reward)
        self.replay.add(rows, self._generator)
        self._merge(torch.cat([part for part in parts[: 2 if self._demos is None else 3]]))
        return total

    def rehearse(self, buffer: RolloutBuffer) -> None:
        """Do the work of one reward and one gradient step without their effect, so that what must be compiled is."""
        with torch.no_grad(), network_precision():
            self._reward(buffer.style[0])
        self.step.rehearse(*self._parts(buffer.style.flatten(0, 1)))

    def _parts(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw rows of one gradient step: simulated, replayed, recorded."""
        count = min(self.cfg.batch, len(rows))
        agent = rows.index_select(0, torch.randint(len(rows), (count,), device=rows.device, generator=self._generator))
        # A copy: compiled code tells one tensor given twice from two of the same numbers.
        replay = self.replay.sample(count, self._generator) if len(self.replay) else agent.clone()
        demo = rows.new_zeros(1, rows.shape[1]) if self._demos is None else self._demos.sample(count)
        return agent, replay, demo

    def _normalised_loss(self, agent: Tensor, replay: Tensor, demo: Tensor) -> tuple[Tensor, Tensor]:
        norm = self.discriminator.norm
        return discriminator_loss(self.discriminator, norm(agent), norm(replay), norm(demo), self.cfg)

    def _gradients(self, agent: Tensor, replay: Tensor, demo: Tensor) -> Tensor:
        loss, metrics = self._loss(agent, replay, demo)
        loss.backward()
        return metrics

    def _apply(self, metrics: Tensor) -> Tensor:
        self.optimizer.step()
        return metrics

    @torch.no_grad()
    def _merge(self, rows: Tensor) -> None:
        """Fold raw rows, of all ranks, into the normaliser's statistics."""
        count = torch.tensor(float(len(rows) * self._world.size), dtype=torch.float64, device=rows.device)
        norm = self.discriminator.norm
        if isinstance(norm, DifferenceScale):
            norm.merge(self._world.mean(rows.abs().mean(dim=0)), count)
            return
        assert isinstance(norm, RunningNorm)
        mean = self._world.mean(rows.mean(dim=0))
        norm.merge(mean, self._world.mean((rows - mean).square().mean(dim=0)), count)

    # -- saving ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the network with its normaliser and the optimiser; memories begin anew."""
        return {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step.forget()
