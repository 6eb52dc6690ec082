"""Running mean and variance of observations."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningNorm(nn.Module):
    """Scales observations to zero mean and unit variance, clipped to +-``clip``.

    Statistics change only in :meth:`merge`, which the trainer calls between updates: while a policy is being updated
    its inputs are normalised exactly as they were during the rollout.

    Attributes:
        settled: samples after which the statistics stay for good; None for never.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int, clip: float = 10.0, eps: float = 1e-5) -> None:
        super().__init__()
        self.clip, self.eps = clip, eps
        self.settled: int | None = None
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, obs: Tensor) -> Tensor:
        """Normalised observations (..., O)."""
        scale = torch.rsqrt(self.var + self.eps)
        return torch.addcmul(-self.mean * scale, obs, scale).clamp_(-self.clip, self.clip)

    @torch.no_grad()
    def merge(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        """Add ``count`` samples of the given mean and (biased) variance by Chan's formula.

        Args:
            mean: (O,).
            var: (O,).
            count: how many observations they summarise.
        """
        if self.settled is not None:
            count = torch.where(self.count < self.settled, count, 0.0)
        total = self.count + count
        weight = (count / total).to(self.mean.dtype)
        delta = mean - self.mean
        merged = torch.lerp(self.var, var, weight) + delta.square() * weight * (1 - weight)
        self.var.copy_(torch.where(self.count > 0, merged, var))
        self.mean.add_(delta * weight)
        self.count.copy_(total)


class MomentAccumulator:
    """Mean and variance of the observations of one rollout, gathered batch by batch without keeping them."""

    def __init__(self, size: int, device: torch.device) -> None:
        # Sums about a shift near the mean, so that float32 does not cancel.
        self._shift = torch.zeros(size, device=device)
        self._sum = torch.zeros(size, device=device)
        self._square_sum = torch.zeros(size, device=device)
        self._count = torch.zeros((), dtype=torch.float64, device=device)

    def start(self, shift: Tensor) -> None:
        """Forget everything; ``shift`` (O,) is a guess of the mean."""
        self._shift.copy_(shift)
        self._sum.zero_()
        self._square_sum.zero_()
        self._count.zero_()

    def add(self, obs: Tensor) -> None:
        """Count observations (N, O)."""
        centred = obs - self._shift
        self._sum += centred.sum(dim=0)
        self._square_sum += centred.square_().sum(dim=0)
        self._count += obs.shape[0]

    def sums(self) -> list[Tensor]:
        """What the moments are made of: accumulators with the same shift are merged by adding these up in place."""
        return [self._sum, self._square_sum, self._count]

    def result(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (O,), biased variance (O,) and count."""
        count = self._count.to(self._sum.dtype)
        mean = self._sum / count
        var = (self._square_sum / count - mean.square()).clamp_min(0.0)
        return mean + self._shift, var, self._count.clone()
