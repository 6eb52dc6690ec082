"""Smooth scalar and vector curves over time: the building blocks of synthesised motions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor


class Knot(NamedTuple):
    """State of a curve at one time: ``value`` (D,), ``velocity`` (D,) per s, ``acceleration`` (D,) per s^2."""

    value: Tensor
    velocity: Tensor
    acceleration: Tensor

    @classmethod
    def at_rest(cls, value: Tensor) -> Knot:
        """A knot that stands still at ``value`` (D,)."""
        return cls(value, torch.zeros_like(value), torch.zeros_like(value))


def minimum_jerk(times: Tensor, start: float, end: float) -> Tensor:
    """The rest-to-rest curve of least jerk: 0 before ``start``, 1 after ``end``; ``times`` (T,) s, result (T,)."""
    u = ((times - start) / (end - start)).clamp(0.0, 1.0)
    return u**3 * (10.0 - 15.0 * u + 6.0 * u * u)


def quintic(times: Tensor, start: float, end: float, first: Knot, last: Knot) -> Tensor:
    """The quintic from knot ``first`` at ``start`` s to knot ``last`` at ``end`` s: (T, D) at ``times`` (T,) s.

    Curves glued at shared knots are twice continuously differentiable.
    """
    span = end - start
    u = ((times - start) / span).clamp(0.0, 1.0)[:, None]
    v0, v1 = first.velocity * span, last.velocity * span
    a0, a1 = first.acceleration * span**2, last.acceleration * span**2
    rise = last.value - first.value - v0 - 0.5 * a0  # what the cubic and higher terms still have to add
    slope = v1 - v0 - a0
    bend = a1 - a0
    c3 = 10.0 * rise - 4.0 * slope + 0.5 * bend
    c4 = -15.0 * rise + 7.0 * slope - bend
    c5 = 6.0 * rise - 3.0 * slope + 0.5 * bend
    return first.value + u * (v0 + u * (0.5 * a0 + u * (c3 + u * (c4 + u * c5))))


def keyed(times: Tensor, keys: Sequence[tuple[float, float]]) -> Tensor:
    """A curve (T,) that rests at each ``(time s, value)`` key and moves with least jerk between two keys.

    Keys are in rising time order; the first and last values hold outside. Good for poses and for swings.
    """
    curve = torch.full_like(times, keys[0][1])
    for (start, before), (end, after) in pairwise(keys):
        curve = curve + (after - before) * minimum_jerk(times, start, end)
    return curve


def piecewise_linear(times: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Straight lines through ``values`` (K, D) at the rising times ``knots`` (K,) s, held outside: (T, D)."""
    t = times.clamp(float(knots[0]), float(knots[-1]))
    right = torch.searchsorted(knots, t).clamp(1, len(knots) - 1)
    u = ((t - knots[right - 1]) / (knots[right] - knots[right - 1]))[:, None]
    return values[right - 1] * (1.0 - u) + values[right] * u
