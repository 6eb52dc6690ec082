"""The network that tells recorded motion from simulated motion."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor, nn

from puffer_phc.policies.normalizer import RunningNorm

StyleKind = Literal["off", "amp", "add"]
CLIP = 5.0  # of normalised inputs, as in HumanoidAMP
_FLOOR = 1e-4  # of the probability of being simulated, in the reward
_MIN_SCALE = 1e-4
_SETTLED = 1e8  # samples after which ADD's scale stays


def style_reward(logits: Tensor, scale: float = 2.0) -> Tensor:
    """``-scale log max(1 - sigmoid(D), 1e-4)``: 1.386 at D = 0, at most 18.42 for a scale of 2."""
    return -scale * torch.sigmoid(-logits).clamp_min(_FLOOR).log()


class DifferenceScale(nn.Module):
    """Divides differences by their running mean size, so that zero stays zero (ADD's normaliser).

    Statistics change only in :meth:`merge` and settle for good after 1e8 samples.
    """

    scale: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, difference: Tensor) -> Tensor:
        """Scaled differences (..., F)."""
        return difference / self.scale.clamp_min(_MIN_SCALE)

    @torch.no_grad()
    def merge(self, mean_size: Tensor, count: Tensor) -> None:
        """Add ``count`` samples whose absolute values have the mean (F,)."""
        total = self.count + count
        weight = torch.where(self.count < _SETTLED, count / total, 0.0).to(self.scale.dtype)
        self.scale.lerp_(mean_size, weight)
        self.count.copy_(torch.where(self.count < _SETTLED, total, self.count))


class Discriminator(nn.Module):
    """Logits of motions: an MLP with ReLU behind a normaliser of its own; positive means "recorded".

    Hidden layers start as torch makes them but without bias, the last layer uniformly in [-1, 1]. Source: HumanoidAMP.

    Attributes:
        norm: normaliser of the inputs; the other methods take what has passed it. Its statistics change only by
            ``merge``, never while rewards or losses are computed.
    """

    norm: RunningNorm | DifferenceScale

    def __init__(self, size: int, hidden: tuple[int, ...], kind: StyleKind) -> None:
        super().__init__()
        self.norm = DifferenceScale(size) if kind == "add" else RunningNorm(size, clip=CLIP)
        self.hidden = nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise((size, *hidden))))
        self.logit = nn.Linear(hidden[-1], 1)
        nn.init.uniform_(self.logit.weight, -1.0, 1.0)
        for layer in (*self._layers(), self.logit):
            nn.init.zeros_(layer.bias)

    def forward(self, normalised: Tensor) -> Tensor:
        """Logits (M,) of normalised motions (M, F)."""
        features = normalised
        for layer in self._layers():
            features = torch.relu(layer(features))
        return self.logit(features)[:, 0]

    def with_gradient(self, normalised: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (M,) and their gradient (M, F) with respect to the input.

        The backward pass is written out, since what is to be differentiated once more cannot be compiled, nor shared
        among ranks, if autograd makes it.
        """
        features, active = normalised, []
        for layer in self._layers():
            before = layer(features)
            features = torch.relu(before)
            active.append(before > 0)
        gradient = self.logit.weight.expand(len(normalised), -1)
        for layer, mask in zip(reversed(self._layers()), reversed(active), strict=True):
            gradient = torch.where(mask, gradient, 0.0) @ layer.weight
        return self.logit(features)[:, 0], gradient

    def weights(self) -> list[Tensor]:
        """All weight matrices, the logit's last; no biases."""
        return [*(layer.weight for layer in self._layers()), self.logit.weight]

    def _layers(self) -> list[nn.Linear]:
        return [layer for layer in self.hidden if isinstance(layer, nn.Linear)]
