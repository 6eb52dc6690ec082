"""Search spaces: what a hyperparameter may be, where its search starts and how far one step goes.

A search works in *basic* coordinates, in which a step of fixed length means the same everywhere: values, their
logarithm or their log-odds, divided by ``scale``. CARBS (arXiv 2306.08055) searches around good points with a normal
distribution of fixed radius there, so that ``scale`` is the one knob for a parameter's step.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from puffer_phc.errors import InputError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Kind = Literal["linear", "log", "logit", "pow2"]
KINDS: tuple[Kind, ...] = ("linear", "log", "logit", "pow2")

_BORDER = 0.1  # of a step, by which the borders of discrete spaces are widened against rounding errors


@dataclass(frozen=True)
class Space:
    """One parameter's search space.

    Basic coordinates: ``linear`` is value / scale, ``log`` and ``pow2`` log10(value) / scale, ``logit``
    log10(value / (1 - value)) / scale. At scale 1 and CARBS' radius of 0.3, one standard deviation of a step is 0.3, a
    factor of 2, or a factor of 2 in the odds.

    Attributes:
        name: the parameter's.
        kind: the coordinate, see above; ``pow2`` holds powers of two only.
        low: smallest value. Continuous spaces are open: a search never proposes ``low`` or ``high`` themselves.
        high: largest value.
        center: where the search starts; best a cheap run known to work.
        scale: one basic unit, in values (``linear``) or decades.
        integer: whole numbers only.
        step: distance of the allowed values, counted from ``low``; 0 is continuous (1 for integers).

    Raises:
        InputError: bounds, centre, scale and kind do not fit together.
    """

    name: str
    kind: Kind
    low: float
    high: float
    center: float
    scale: float = 1.0
    integer: bool = False
    step: float = 0.0

    def __post_init__(self) -> None:
        _check(self)

    @property
    def spacing(self) -> float:
        """Distance of allowed values next to ``low``; 0 if continuous."""
        if self.kind == "pow2":
            return self.low
        return self.step or float(self.integer)

    def to_basic(self, value: Tensor) -> Tensor:
        """Basic coordinates of values, any shape, float64; the ends of (0, 1) are infinitely far in ``logit``."""
        if self.kind == "linear":
            return value / self.scale
        if self.kind == "logit":
            return (value.log10() - (1.0 - value).log10()) / self.scale
        return value.log10() / self.scale

    def to_value(self, basic: Tensor) -> Tensor:
        """Values at basic coordinates, any shape, neither rounded nor held within bounds."""
        scaled = basic * self.scale
        if self.kind == "linear":
            return scaled
        if self.kind == "logit":
            return torch.sigmoid(scaled * math.log(10.0))
        return 10.0**scaled

    def round_value(self, value: Tensor) -> Tensor:
        """The allowed values nearest to ``value``, any shape; powers of two are nearest in the exponent."""
        if self.kind == "pow2":
            return value.log2().round().exp2()
        if not self.spacing:
            return value
        return self.low + ((value - self.low) / self.spacing).round() * self.spacing

    def round_basic(self, basic: Tensor) -> Tensor:
        """Basic coordinates of the values that would really run, any shape."""
        return self.to_basic(self.round_value(self.to_value(basic))) if self.spacing else basic

    def contains(self, basic: Tensor) -> Tensor:
        """Whether coordinates, already rounded, lie within the bounds; bool of the same shape."""
        border = _BORDER * self.spacing
        value = self.to_value(basic)
        return (self.low - border < value) & (value < self.high + border)

    def native(self, basic: float) -> float | int:
        """The one value to run at a basic coordinate: rounded, within bounds, of Python's own type."""
        return self.nearest(float(self.to_value(torch.tensor(basic, dtype=torch.float64))))

    def nearest(self, value: float) -> float | int:
        """The allowed value nearest to ``value``, of Python's own type."""
        rounded = float(self.round_value(torch.tensor(value, dtype=torch.float64)))
        held = min(max(rounded, self.low), self.high)
        return round(held) if self.integer else held

    def to_distribution(self) -> BaseDistribution:
        """The Optuna distribution that stores these values and rejects others as far as Optuna can say so.

        Optuna knows neither ``logit`` nor steps in log spaces nor powers of two; use :meth:`nearest` on what its
        own samplers propose.
        """
        distributions = import_optuna("optuna.distributions")
        log = self.kind in ("log", "pow2")
        if self.integer:
            step = 1 if log else round(self.spacing)
            return distributions.IntDistribution(round(self.low), round(self.high), log=log, step=step)
        float_step = None if log or not self.step else self.step
        return distributions.FloatDistribution(self.low, self.high, log=log, step=float_step)


def import_optuna(module: str = "optuna") -> Any:
    """The module, which comes with an optional extra.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError("optuna", "is not installed", "run `uv sync --extra sweep`") from None


def space_from_distribution(
    name: str, distribution: BaseDistribution, center: float | None = None, scale: float | None = None
) -> Space | None:
    """The space of an Optuna distribution, or None if it has no order or only one value.

    Args:
        name: the parameter's.
        distribution: a float or integer distribution; others have no order.
        center: where to start; by default the middle in basic coordinates.
        scale: one basic unit; by default half of the range.

    Raises:
        InputError: centre or scale do not fit the distribution.
    """
    known = import_optuna("optuna.distributions")
    if not isinstance(distribution, known.FloatDistribution | known.IntDistribution) or distribution.single():
        return None
    low, high = float(distribution.low), float(distribution.high)
    kind: Kind = "log" if distribution.log else "linear"
    middle = math.sqrt(low * high) if kind == "log" else 0.5 * (low + high)
    half = 0.5 * (math.log10(high / low) if kind == "log" else high - low)
    return Space(
        name,
        kind,
        low,
        high,
        center=middle if center is None else center,
        scale=half if scale is None else scale,
        integer=isinstance(distribution, known.IntDistribution),
        step=float(distribution.step or 0.0),
    )


def center_of(spaces: Sequence[Space]) -> Tensor:
    """Basic coordinates (D,) of the search's centre, rounded to what would really run."""
    return round_points(spaces, points_of(spaces, [[space.center for space in spaces]])[0])


def round_points(spaces: Sequence[Space], points: Tensor) -> Tensor:
    """Points (..., D) moved to what would really run."""
    columns = [space.round_basic(points[..., index]) for index, space in enumerate(spaces)]
    return torch.stack(columns, dim=-1)


def contain_points(spaces: Sequence[Space], points: Tensor) -> Tensor:
    """Which of the rounded points (..., D) lie within all bounds, (...,) bool."""
    inside = [space.contains(points[..., index]) for index, space in enumerate(spaces)]
    return torch.stack(inside, dim=-1).all(dim=-1)


def values_of(spaces: Sequence[Space], params: Mapping[str, Any]) -> list[float] | None:
    """A trial's values in the order of the spaces; None if one is missing or has no finite coordinate."""
    values = [float(params.get(space.name, math.nan)) for space in spaces]
    return values if all(map(_has_coordinate, spaces, values)) else None


def points_of(spaces: Sequence[Space], rows: Sequence[Sequence[float]]) -> Tensor:
    """Basic coordinates (N, D) of N rows of values, each in the order of the spaces."""
    values = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(spaces))
    return torch.stack([space.to_basic(values[:, index]) for index, space in enumerate(spaces)], dim=-1)


def params_at(spaces: Sequence[Space], point: Tensor) -> dict[str, float | int]:
    """Parameter values to run at a point (D,)."""
    return {space.name: space.native(basic) for space, basic in zip(spaces, point.tolist(), strict=True)}


def _has_coordinate(space: Space, value: float) -> bool:
    low, high = {"linear": (-math.inf, math.inf), "logit": (0.0, 1.0)}.get(space.kind, (0.0, math.inf))
    return low < value < high


def _check(space: Space) -> None:
    where = f"search space of {space.name}"
    numbers = (space.low, space.high, space.center, space.scale, space.step)
    if space.kind not in KINDS:
        raise InputError(where, f"unknown kind {space.kind!r}", f"use one of {', '.join(KINDS)}")
    if not all(math.isfinite(number) for number in numbers):
        raise InputError(where, f"has a number that is not finite {numbers}", "give finite bounds, centre and scale")
    if not space.low < space.high:
        raise InputError(where, f"runs from {space.low} to {space.high}", "give a smaller low than high")
    if not space.low <= space.center <= space.high:
        raise InputError(where, f"centre {space.center} lies outside", f"choose {space.low} to {space.high}")
    if not space.scale > 0.0 or space.step < 0.0:
        raise InputError(where, f"scale {space.scale}, step {space.step}", "give a positive scale, no negative step")
    if space.kind in ("log", "pow2") and not space.low > 0.0:
        raise InputError(where, f"starts at {space.low}", "give a positive low, or use kind linear")
    if space.kind == "logit" and not (0.0 <= space.low < space.center < space.high <= 1.0):
        raise InputError(where, f"{space.low}, {space.center}, {space.high}", "keep 0 <= low < centre < high <= 1")
    if space.kind == "logit" and (space.integer or space.step):
        raise InputError(where, "is discrete", "use kind linear or log for discrete values")
    if space.kind == "pow2" and any(math.log2(value) % 1.0 for value in (space.low, space.high, space.center)):
        raise InputError(where, "bounds or centre are no powers of two", "use powers of two, or kind log")
    if space.kind == "pow2" and space.step:
        raise InputError(where, f"has a step of {space.step}", "leave the step of kind pow2 at 0")
    _check_step(space, where)


def _check_step(space: Space, where: str) -> None:
    if space.integer and (space.low % 1 or space.high % 1 or space.step % 1):
        raise InputError(where, f"bounds {space.low}, {space.high} or step are not whole", "use whole numbers")
    steps = (space.high - space.low) / space.step if space.step else 0.0
    if abs(steps - round(steps)) > 1e-6:
        raise InputError(where, f"{space.high} is no whole number of steps above {space.low}", "shift a bound")
