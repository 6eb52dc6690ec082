"""An exact Gaussian process for hundreds of points: closed-form posterior, hyperparameters at their MAP.

The kernel is CARBS': a dot product plus a stationary part (Matern 3/2, or squared exponential) with one length scale
per dimension, plus a constant that stands for an unknown mean. Formulas: Rasmussen and Williams, *Gaussian Processes
for Machine Learning*, chapters 2 and 5. Everything is float64 on the CPU and uses no global random state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Stationary = Literal["matern32", "rbf"]

_JITTER = 1e-6
_STEEPNESS: dict[Stationary, float] = {"matern32": 3.0, "rbf": 1.0}
_LONGEST_STEP = 2.0  # of an iteration, in natural logarithms of the hyperparameters
_ROWS = 128  # inputs predicted at once
_FIT_POINTS = 256  # a fit of the hyperparameters on more points costs seconds and changes little


@dataclass(frozen=True)
class Kernel:
    """Hyperparameters; variances are in squared units of the outputs.

    Attributes:
        lengthscale: (D,) of the stationary part.
        stationary: variance of the stationary part.
        linear: variance of the slopes, the factor of the dot product.
        noise: variance of the observations' noise.
        constant: variance of the mean; 0 for a mean known to be zero.
        shape: of the stationary part.
    """

    lengthscale: Tensor
    stationary: float = 1.0
    linear: float = 0.0
    noise: float = 0.01
    constant: float = 0.0
    shape: Stationary = "matern32"


@dataclass(frozen=True)
class Prior:
    """Normal priors (mean, standard deviation) of the hyperparameters' natural logarithms."""

    lengthscale: tuple[float, float] = (0.0, 0.7)
    stationary: tuple[float, float] = (0.0, 1.0)
    linear: tuple[float, float] = (math.log(0.3), 1.0)
    noise: tuple[float, float] = (math.log(0.01), 1.0)


class GaussianProcess:
    """The posterior of a zero-mean process given noisy outputs.

    Attributes:
        x: (N, D) inputs.
        y: (N,) outputs.
        kernel: hyperparameters.
    """

    def __init__(self, x: Tensor, y: Tensor, kernel: Kernel) -> None:
        self.x, self.y, self.kernel = x, y, kernel
        self._factor = torch.linalg.cholesky(_noisy_covariance(x, kernel))
        self._weights = torch.cholesky_solve(y.unsqueeze(-1), self._factor).squeeze(-1)

    def mean(self, x: Tensor) -> Tensor:
        """Posterior mean (M,) at inputs (M, D), at a fraction of what the variance costs."""
        # In parts that stay in the processor's cache: thousands of rows at once take several times as long.
        parts = [covariance(rows, self.x, self.kernel) @ self._weights for rows in x.split(_ROWS)]
        return torch.cat(parts)

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean (M,) and variance without observation noise (M,) at inputs (M, D)."""
        cross = covariance(x, self.x, self.kernel)
        half = torch.linalg.solve_triangular(self._factor, cross.T, upper=False)
        variance = _diagonal(x, self.kernel) - half.square().sum(dim=0)
        return cross @ self._weights, variance.clamp_min(1e-12)

    def posterior_covariance(self, x: Tensor) -> Tensor:
        """Posterior covariance (M, M) without observation noise at inputs (M, D)."""
        half = torch.linalg.solve_triangular(self._factor, covariance(self.x, x, self.kernel), upper=False)
        return covariance(x, x, self.kernel) - half.T @ half

    def log_likelihood(self) -> float:
        """Logarithm of the marginal likelihood of the outputs."""
        return float(_log_likelihood(self.y, self._factor, self._weights))

    def extended(self, x: Tensor, y: Tensor) -> GaussianProcess:
        """The process conditioned on further points (M, D) and outputs (M,), hyperparameters unchanged."""
        return GaussianProcess(torch.cat((self.x, x)), torch.cat((self.y, y)), self.kernel)


def covariance(a: Tensor, b: Tensor, kernel: Kernel) -> Tensor:
    """Prior covariance (N, M) between inputs (N, D) and (M, D), without noise."""
    stationary, _ = _stationary_part(a, b, kernel)
    return _with_trend(stationary, a, b, kernel)


def fit(x: Tensor, y: Tensor, start: Kernel, prior: Prior, iterations: int = 40) -> GaussianProcess:
    """A process whose hyperparameters maximise likelihood times prior, found by BFGS from ``start``.

    Args:
        x: (N, D) inputs; beyond 256 points the hyperparameters are fitted on evenly spaced rows.
        y: (N,) outputs, standardised.
        start: first guess; its constant and shape are kept.
        prior: of the logarithms of the hyperparameters.
        iterations: of BFGS.
    """
    rows = torch.linspace(0, len(x) - 1, min(len(x), _FIT_POINTS)).round().long()
    sub_x, sub_y = x[rows], y[rows]

    def objective(theta: Tensor) -> tuple[float, Tensor]:
        return negative_log_posterior(sub_x, sub_y, unpack(theta, start), prior)

    return GaussianProcess(x, y, unpack(minimise(objective, pack(start), iterations), start))


def start_of(prior: Prior, dims: int) -> Kernel:
    """The kernel at the prior's modes, with an unknown mean, to start a fit of ``dims`` inputs from."""
    lengthscale = torch.full((dims,), math.exp(prior.lengthscale[0]), dtype=torch.float64)
    stationary, linear, noise = (math.exp(mode) for mode, _ in (prior.stationary, prior.linear, prior.noise))
    return Kernel(lengthscale, stationary, linear, noise, constant=1.0)


def negative_log_posterior(x: Tensor, y: Tensor, kernel: Kernel, prior: Prior) -> tuple[float, Tensor]:
    """Minus the log of likelihood times prior, and its gradient (D + 3,) in the order of :func:`pack`.

    Returns infinity and a zero gradient where the covariance is numerically singular, which a line search shuns.
    """
    theta = pack(kernel)
    mean, std = _prior_tensors(prior, x.shape[1])
    stationary, decay = _stationary_part(x, x, kernel)
    matrix = _with_noise(_with_trend(stationary.clone(), x, x, kernel), kernel)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    weights = torch.cholesky_solve(y.unsqueeze(-1), factor).squeeze(-1)
    scaled = (theta - mean) / std
    value = float(0.5 * scaled.square().sum() - _log_likelihood(y, factor, weights))
    if bool(failed) or not math.isfinite(value):
        return math.inf, torch.zeros_like(theta)
    inner = torch.outer(weights, weights) - torch.cholesky_inverse(factor)
    return value, scaled / std - _likelihood_gradient(x, kernel, inner, stationary, decay)


def minimise(objective: Callable[[Tensor], tuple[float, Tensor]], start: Tensor, iterations: int) -> Tensor:
    """A point (K,) of low value, by BFGS with halved steps (Nocedal and Wright, *Numerical Optimization*, 6.1).

    Ours because importing ``torch.optim`` takes seconds; the value never rises, an infinite one is stepped back from.

    Args:
        objective: value and gradient (K,) at a point (K,).
        start: (K,), of finite value.
        iterations: at most.
    """
    point, (value, slope) = start, objective(start)
    inverse = torch.eye(len(start), dtype=start.dtype) / slope.norm().clamp_min(1.0)
    for _ in range(iterations):
        direction = -inverse @ slope
        descent = float(direction @ slope)
        if descent > -1e-6:
            break
        length = min(1.0, _LONGEST_STEP / float(direction.norm()))
        new_value, new_slope = objective(point + length * direction)
        while new_value > value + 1e-4 * length * descent and length > 1e-4:
            length *= 0.4
            new_value, new_slope = objective(point + length * direction)
        if not new_value < value:
            break
        step, change = length * direction, new_slope - slope
        point, value, slope = point + step, new_value, new_slope
        inverse = _bfgs_update(inverse, step, change)
    return point


def pack(kernel: Kernel) -> Tensor:
    """Logarithms (D + 3,) of length scales, stationary and linear variance, noise."""
    variances = torch.tensor([kernel.stationary, kernel.linear, kernel.noise], dtype=torch.float64)
    return torch.cat((kernel.lengthscale, variances)).log()


def unpack(theta: Tensor, like: Kernel) -> Kernel:
    """Inverse of :func:`pack`; constant and shape are those of ``like``."""
    values = theta.exp()
    stationary, linear, noise = values[-3:].tolist()
    return Kernel(values[:-3].clone(), stationary, linear, noise, like.constant, like.shape)


def _bfgs_update(inverse: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """The inverse Hessian (K, K) after a step (K,) changed the gradient by ``change`` (K,)."""
    curvature = step @ change
    if float(curvature) <= 1e-10:  # the update would not be positive definite
        return inverse
    left = torch.eye(len(step), dtype=step.dtype) - torch.outer(step, change) / curvature
    return left @ inverse @ left.T + torch.outer(step, step) / curvature


def _stationary_part(a: Tensor, b: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """Stationary covariance (N, M), and F (N, M) with dk / dlog(l_d) = _STEEPNESS F (a_d - b_d)^2 / l_d^2."""
    # Matrix products leave squared distances wrong by 1e-12 at most, of which both shapes are smooth functions at 0.
    distance = torch.cdist(a / kernel.lengthscale, b / kernel.lengthscale, compute_mode="use_mm_for_euclid_dist")
    if kernel.shape == "rbf":
        value = distance.square_().mul_(-0.5).exp_().mul_(kernel.stationary)
        return value, value
    distance.mul_(math.sqrt(3.0))
    decay = distance.neg().exp_().mul_(kernel.stationary)
    return distance.add_(1.0).mul_(decay), decay


def _with_trend(stationary: Tensor, a: Tensor, b: Tensor, kernel: Kernel) -> Tensor:
    """The stationary covariance (N, M), which is overwritten, with slopes and constant."""
    return stationary.addmm_(a, b.T, alpha=kernel.linear).add_(kernel.constant)


def _with_noise(matrix: Tensor, kernel: Kernel) -> Tensor:
    """A covariance (N, N), which is overwritten, with the observations' noise."""
    matrix.diagonal().add_(kernel.noise + _JITTER)
    return matrix


def _diagonal(x: Tensor, kernel: Kernel) -> Tensor:
    return kernel.stationary + kernel.linear * x.square().sum(dim=-1) + kernel.constant


def _noisy_covariance(x: Tensor, kernel: Kernel) -> Tensor:
    return _with_noise(covariance(x, x, kernel), kernel)


def _log_likelihood(y: Tensor, factor: Tensor, weights: Tensor) -> Tensor:
    log_determinant = 2.0 * factor.diagonal().log().sum()
    return -0.5 * (y @ weights + log_determinant + len(y) * math.log(2.0 * math.pi))


def _likelihood_gradient(x: Tensor, kernel: Kernel, inner: Tensor, stationary: Tensor, decay: Tensor) -> Tensor:
    """Gradient (D + 3,) of the log likelihood by :func:`pack`: half the trace of W dK.

    Args:
        x: (N, D) inputs.
        kernel: hyperparameters.
        inner: W = w w' - K^-1 (N, N), w the weights of the observations.
        stationary: covariance (N, N), and
        decay: what :func:`_stationary_part` gives besides.
    """
    pull = inner * decay * _STEEPNESS[kernel.shape]
    scaled = x / kernel.lengthscale
    # sum_ij P_ij (x_i - x_j)^2 for a symmetric P, without the (N, N, D) differences.
    by_lengthscale = 2.0 * (pull.sum(dim=1) @ scaled.square() - (scaled * (pull @ scaled)).sum(dim=0))
    by_stationary = (inner * stationary).sum()
    by_linear = kernel.linear * (x * (inner @ x)).sum()
    by_noise = kernel.noise * inner.diagonal().sum()
    return 0.5 * torch.cat((by_lengthscale, torch.stack((by_stationary, by_linear, by_noise))))


def _prior_tensors(prior: Prior, dims: int) -> tuple[Tensor, Tensor]:
    rows = [prior.lengthscale] * dims + [prior.stationary, prior.linear, prior.noise]
    mean, std = torch.tensor(rows, dtype=torch.float64).unbind(dim=-1)
    return mean, std
