"""Actor and critic networks: MLPs (of LayerNorm and SiLU unless told otherwise), each optionally with an LSTM."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from puffer_phc.policies.normalizer import RunningNorm

PolicyKind = Literal["mlp", "lstm", "lstm_critic"]
ActorPrecision = Literal["fp16", "tf32"]
NetworkStyle = Literal["phc", "mimickit"]
_SMALL_MEANS = 0.01
ALIGNED = 8  # numbers of two bytes that a tensor core is fed at a time
PHC_HIDDEN = (2048, 1536, 1024, 1024, 512, 512)


@dataclass(frozen=True)
class PolicyConfig:
    """Network sizes and exploration.

    Attributes:
        kind: ``mlp``; ``lstm`` puts an LSTM behind both trunks; ``lstm_critic`` behind the critic's alone.
        hidden: widths of the hidden layers of actor and critic; empty is auto (PHC's on a GPU, small on a CPU).
        lstm_size: units of an LSTM.
        log_std: log of the exploration noise in action units. PHC's -2.9 leaves a trust region too small to move in.
        learn_std: train the noise, one number per action, starting from ``log_std``.
        actor_precision: of the actor's matrix products on a GPU: ``fp16`` or ``tf32``. Both keep 11 significant bits;
            fp16 is twice as fast, and its gradients are scaled so that small ones survive.
        style: ``phc`` has SiLU, a LayerNorm before the last of them, and orthogonal first weights; ``mimickit`` ReLU,
            no LayerNorm, torch's own first weights without biases, and action means that start within 0.01.
    """

    kind: PolicyKind = "mlp"
    hidden: tuple[int, ...] = ()
    lstm_size: int = 256
    log_std: float = -2.3
    learn_std: bool = False
    actor_precision: ActorPrecision = "fp16"
    style: NetworkStyle = "phc"


class Trunk(nn.Module):
    """Observations (..., O) to features (..., hidden[-1]): linear layers with an activation behind each.

    With ``lstm_size`` an LSTM follows; its state (S, 2 H) is hidden and cell side by side, and features are (..., H).
    """

    def __init__(self, num_obs: int, hidden: tuple[int, ...], lstm_size: int = 0, style: NetworkStyle = "phc") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        sizes = (num_obs, *hidden)
        for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
            if style == "mimickit":
                layers += [_plain_linear(fan_in, fan_out), nn.ReLU()]
                continue
            layers.append(_linear(fan_in, fan_out, math.sqrt(2)))
            if index == len(hidden) - 1:
                layers.append(nn.LayerNorm(fan_out))
            layers.append(nn.SiLU())
        self.mlp = nn.Sequential(*layers)
        self.cell = nn.LSTMCell(hidden[-1], lstm_size) if lstm_size else None
        self.num_features = lstm_size or hidden[-1]
        self.state_size = 2 * lstm_size

    def forward(self, obs: Tensor, state: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Unroll over time.

        Args:
            obs: (S, L, O) normalised observations, L steps of S sequences.
            state: (S, state_size) at the first step.
            fresh: (S, L) bool, the step begins an episode: the state is zeroed before it.

        Returns:
            Features (S, L, F) and the state after the last step.
        """
        features = self.mlp(obs)
        if self.cell is None:
            return features, state
        hidden, cell = state.chunk(2, dim=-1)
        outputs = []
        for step in range(obs.shape[1]):
            keep = (~fresh[:, step, None]).to(features.dtype)
            hidden, cell = self.cell(features[:, step], (hidden * keep, cell * keep))
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), torch.cat((hidden, cell), dim=-1)


class ActorCritic(nn.Module):
    """Gaussian policy with a state-independent standard deviation, and a value function of its own weights.

    Attributes:
        obs_norm: normaliser; the other methods take observations that have passed it.
        log_std: (A,), a parameter if trained, a buffer if not.
        state_size: numbers of recurrent state per environment, 0 for an MLP.
        actor_in_fp16: the actor multiplies in fp16 where it is on a GPU.
        ratio_shape: shape of the log density of one action; () but for several agents that learn together.
    """

    log_std: Tensor
    ratio_shape: tuple[int, ...] = ()

    def __init__(self, num_obs: int, num_actions: int, cfg: PolicyConfig, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.num_obs, self.num_actions = num_obs, num_actions
        self.actor_in_fp16 = cfg.actor_precision == "fp16"
        self.obs_norm = RunningNorm(num_obs)
        self.actor = Trunk(num_obs, hidden, cfg.lstm_size if cfg.kind == "lstm" else 0, cfg.style)
        self.critic = Trunk(num_obs, hidden, cfg.lstm_size if cfg.kind != "mlp" else 0, cfg.style)
        if cfg.style == "mimickit":
            self.mean_head = _plain_linear(self.actor.num_features, num_actions, _SMALL_MEANS)
            self.value_head = _plain_linear(self.critic.num_features, 1)
        else:
            self.mean_head = _linear(self.actor.num_features, num_actions, 0.01)
            self.value_head = _linear(self.critic.num_features, 1, 0.01)
        log_std = torch.full((num_actions,), cfg.log_std)
        if cfg.learn_std:
            self.log_std = nn.Parameter(log_std)
        else:
            self.register_buffer("log_std", log_std)
        self.state_size = self.actor.state_size + self.critic.state_size

    @property
    def recurrent(self) -> bool:
        """Whether there is any state to carry."""
        return self.state_size > 0

    def initial_state(self, count: int) -> Tensor:
        """Zero state (count, state_size)."""
        return torch.zeros(count, self.state_size, device=self.log_std.device)

    def forward(self, obs: Tensor, state: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unroll both networks; arguments as in :meth:`Trunk.forward`.

        Returns:
            Action means (S, L, A), values (S, L) and the state after the last step.
        """
        actor_state, critic_state = state.split((self.actor.state_size, self.critic.state_size), dim=-1)
        mean, actor_state = self.means(obs, actor_state, fresh)
        values, critic_state = self.values(obs, critic_state, fresh)
        return mean, values, torch.cat((actor_state, critic_state), dim=-1)

    def means(self, obs: Tensor, actor_state: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Action means (S, L, A) and the actor's part of the state; arguments as in :meth:`Trunk.forward`."""
        # The last layer stays in float32: a ratio of densities shows any error of the mean many times enlarged.
        with torch.autocast(obs.device.type, dtype=torch.float16, enabled=obs.is_cuda and self.actor_in_fp16):
            features, actor_state = self.actor(obs, actor_state, fresh)
        return self.mean_head(features.float()), actor_state.float()

    def values(self, obs: Tensor, critic_state: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Values (S, L) and the critic's part of the state; arguments as in :meth:`Trunk.forward`."""
        # The critic may be coarse: its errors average out. The actor's would show as ratios away from 1.
        with torch.autocast(obs.device.type, dtype=torch.bfloat16, enabled=obs.is_cuda):
            features, critic_state = self.critic(obs, critic_state, fresh)
            return self.value_head(features).squeeze(-1).float(), critic_state.float()

    def value(self, obs: Tensor, state: Tensor) -> Tensor:
        """Values (N,) of observations (N, O) that go on from ``state`` (N, state_size)."""
        going_on = torch.zeros(len(obs), 1, dtype=torch.bool, device=obs.device)
        return self.values(obs[:, None], state[:, self.actor.state_size :], going_on)[0][:, 0]

    def actor_step(self, obs: Tensor, state: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the actor: means (N, A) and its part of the state, of observations (N, O), ``fresh`` (N,)."""
        mean, actor_state = self.means(obs[:, None], state[:, : self.actor.state_size], fresh[:, None])
        return mean[:, 0], actor_state

    def critic_step(self, obs: Tensor, state: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the critic: values (N,) and its part of the state, of observations (N, O), ``fresh`` (N,)."""
        value, critic_state = self.values(obs[:, None], state[:, self.actor.state_size :], fresh[:, None])
        return value[:, 0], critic_state

    def step(self, obs: Tensor, state: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step: means (N, A), values (N,), state, of observations (N, O) and ``fresh`` (N,)."""
        mean, actor_state = self.actor_step(obs, state, fresh)
        value, critic_state = self.critic_step(obs, state, fresh)
        return mean, value, torch.cat((actor_state, critic_state), dim=-1)

    def act(self, obs: Tensor, state: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """The deterministic action (N, A) for raw observations (N, O), and the next state (the critic's as it was)."""
        mean, actor_state = self.actor_step(self.obs_norm(obs), state, fresh)
        return mean, torch.cat((actor_state, state[:, self.actor.state_size :]), dim=-1)

    def log_prob(self, mean: Tensor, action: Tensor) -> Tensor:
        """Log density (...,) of unclipped actions (..., A)."""
        scaled = (action - mean) * torch.exp(-self.log_std)
        constant = self.log_std.sum() + 0.5 * self.num_actions * math.log(2 * math.pi)
        return -0.5 * scaled.square().sum(dim=-1) - constant

    def entropy(self) -> Tensor:
        """Entropy of the action distribution, the same in every state."""
        return self.log_std.sum() + 0.5 * self.num_actions * (1 + math.log(2 * math.pi))


class AlignedLinear(nn.Linear):
    """A linear layer that a GPU multiplies with widths of whole eights, filled up with zeros.

    Tensor cores are fed 16 bytes at a time; for 934 inputs in bf16 an unaligned product takes three times as long.
    Weights are stored, and other devices multiply, as they are.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(..., out_features) of (..., in_features)."""
        aligned = self.in_features % ALIGNED == self.out_features % ALIGNED == 0
        if not features.is_cuda or aligned or self.out_features < ALIGNED:
            return super().forward(features)
        return self.filled_up(features)

    def filled_up(self, features: Tensor) -> Tensor:
        """:meth:`forward` in widths of whole eights."""
        wide, high = -self.in_features % ALIGNED, -self.out_features % ALIGNED
        weight, bias = pad(self.weight, (0, wide, 0, high)), pad(self.bias, (0, high))
        return linear(pad(features, (0, wide)), weight, bias)[..., : self.out_features]


def _linear(fan_in: int, fan_out: int, gain: float) -> nn.Linear:
    layer = AlignedLinear(fan_in, fan_out)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def _plain_linear(fan_in: int, fan_out: int, bound: float = 0.0) -> nn.Linear:
    """Weights as torch makes them, or uniform within ``bound``; no bias at first."""
    layer = AlignedLinear(fan_in, fan_out)
    if bound:
        nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.zeros_(layer.bias)
    return layer
