"""Smooth curves through wanted values and wanted steps: one banded least-squares problem, solved exactly."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def smooth_curve(
    values: Tensor, value_weight: Tensor, steps: Tensor | None, step_weight: Tensor | None, smoothness: float
) -> Tensor:
    """The curve x (T, K, D) that minimises the sum over frames of three squares.

    ``value_weight (x[t] - values[t])^2 + step_weight (x[t+1] - x[t] - steps[t])^2 + smoothness (second difference)^2``.
    The minimum is unique if at least two values (or one value and the steps) have weight. Takes linear time.

    Args:
        values: (T, K, D).
        value_weight: (T, K), not negative.
        steps: (T - 1, K, D), or None for no such term.
        step_weight: (T - 1, K), not negative.
        smoothness: above 0.
    """
    frames, curves = value_weight.shape
    weight, wanted = value_weight.numpy(), values.numpy()
    diagonal, right = weight.copy(), weight[..., None] * wanted
    off1, off2 = np.zeros((frames, curves)), np.zeros((frames, curves))
    if steps is not None and step_weight is not None:
        between, push = step_weight.numpy(), (step_weight[..., None] * steps).numpy()
        diagonal[:-1] += between
        diagonal[1:] += between
        off1[:-1] -= between
        right[1:] += push
        right[:-1] -= push
    if frames > 2:
        # Each second difference (1, -2, 1) adds its outer product.
        diagonal[:-2] += smoothness
        diagonal[1:-1] += 4.0 * smoothness
        diagonal[2:] += smoothness
        off1[:-2] -= 2.0 * smoothness
        off1[1:-1] -= 2.0 * smoothness
        off2[:-2] += smoothness
    return torch.from_numpy(_solve_pentadiagonal(diagonal, off1, off2, right))


def _solve_pentadiagonal(diagonal: np.ndarray, off1: np.ndarray, off2: np.ndarray, right: np.ndarray) -> np.ndarray:
    """x (T, K, D) of K symmetric positive definite systems with two side diagonals, by L D L^T."""
    frames = len(diagonal)
    pivot, lower1, lower2 = diagonal.copy(), off1.copy(), off2.copy()
    x = right.copy()
    for t in range(frames):
        if t >= 1:
            pivot[t] -= lower1[t - 1] ** 2 * pivot[t - 1]
            lower1[t] -= lower2[t - 1] * lower1[t - 1] * pivot[t - 1]
            x[t] -= lower1[t - 1][:, None] * x[t - 1]
        if t >= 2:
            pivot[t] -= lower2[t - 2] ** 2 * pivot[t - 2]
            x[t] -= lower2[t - 2][:, None] * x[t - 2]
        lower1[t] /= pivot[t]
        lower2[t] /= pivot[t]
    x /= pivot[..., None]
    for t in range(frames - 2, -1, -1):
        x[t] -= lower1[t][:, None] * x[t + 1]
        if t + 2 < frames:
            x[t] -= lower2[t][:, None] * x[t + 2]
    return x
