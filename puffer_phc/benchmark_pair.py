"""Two sets of options measured against each other in one run, round by round in turn."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from rich import box
from rich.table import Table

from puffer_phc.benchmark import Benchmark, Rates
from puffer_phc.errors import InputError

_NAMES = {
    "raw": "raw physics",
    "env": "environment",
    "rollout": "rollout",
    "learner": "learner alone",
    "training": "full training",
}


@dataclass(frozen=True)
class Comparison:
    """What two benchmarks came to.

    Attributes:
        first, second: rates of each.
        ratios: by layer, how many times as fast the second is as the first: lower quartile, median, upper quartile
            over rounds. Both halves of a round suffer the same slow moments of the machine, so this is steadier than
            the ratio of the rates.
    """

    first: Rates
    second: Rates
    ratios: dict[str, tuple[float, float, float]]


def flags_of(changes: Sequence[str]) -> list[str]:
    """``OPTION=VALUE`` as flags of the command line; a value may be several words.

    Raises:
        InputError: one names no value.
    """
    flags: list[str] = []
    for change in changes:
        name, equals, value = change.partition("=")
        if not (name and equals and value):
            raise InputError("--against", f"{change!r} is no OPTION=VALUE", "write for example env.use_amp_obs=true")
        flags += [f"--{name}", *shlex.split(value)]
    return flags


def compare(
    first: Benchmark, second: Benchmark, rounds: int, progress: Callable[[int, int], None] | None = None
) -> Comparison:
    """Measure both ``rounds`` times in turn, after one round of warm-up; each goes first every other time."""
    taken: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    for index in range(rounds + 1):
        for which in (0, 1) if index % 2 else (1, 0):
            taken[which].append((first, second)[which].round())
        if progress:
            progress(index + 1, rounds + 1)
    return compared(taken[0][1:], taken[1][1:], first.samples, second.samples)


def compared(
    first: Sequence[dict[str, float]], second: Sequence[dict[str, float]], samples_first: int, samples_second: int
) -> Comparison:
    """The same of seconds by layer and round, each for so many control steps."""
    ratios = {}
    for layer in (item.name for item in fields(Rates)):
        of_rounds = [
            (samples_second / b[layer]) / (samples_first / a[layer]) for a, b in zip(first, second, strict=True)
        ]
        low, middle, high = statistics.quantiles(of_rounds, method="inclusive") if len(of_rounds) > 1 else 3 * of_rounds
        ratios[layer] = (low, middle, high)
    return Comparison(Rates.of(first, samples_first), Rates.of(second, samples_second), ratios)


def pair_table(found: Comparison, changes: Sequence[str], caption: str) -> Table:
    """The rates of both and their ratios; ``caption`` says what they were measured on."""
    out = Table(title=f"against: {' '.join(changes)}", caption=caption, box=box.SIMPLE_HEAD)
    out.add_column("layer")
    for name in ("control steps / s", "against", "ratio", "middle half of rounds"):
        out.add_column(name, justify="right")
    for layer, name in _NAMES.items():
        low, middle, high = found.ratios[layer]
        rates = (f"{getattr(rates, layer):,.0f}" for rates in (found.first, found.second))
        out.add_row(name, *rates, f"{middle:.2f}", f"{low:.2f} to {high:.2f}")
    return out
