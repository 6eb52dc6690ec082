#!/usr/bin/env python3
"""Compare our CARBS with other samplers on synthetic sweeps: ``scripts/compare_samplers.py --out table.md``.

Needs no GPU and takes about ten minutes on one core; ``--quick`` takes seconds.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress

from puffer_phc.cli import guarded
from puffer_phc.errors import InputError

if TYPE_CHECKING:
    from puffer_phc.sweeps.comparison import Method


def main() -> int:
    """Parse, compare, write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="sweeps per row (default: 5)")
    parser.add_argument("--evaluations", type=int, default=64, help="runs per sweep (default: 64)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8], help="simulated workers (default: 1 8)")
    parser.add_argument("--samplers", nargs="+", default=None, metavar="NAME", help="only these (default: all)")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 16 runs, to see that it works")
    parser.add_argument("--out", type=Path, default=None, help="Markdown file to write the table to")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.evaluations = 2, 16
    return guarded(lambda console: run(options, console))


def run(options: argparse.Namespace, console: Console) -> int:
    """Compare with the options parsed; returns the exit code.

    Raises:
        InputError: Optuna is missing, a number is too small or the file cannot be written.
    """
    if min(options.seeds, options.evaluations, *options.workers) < 1:
        raise InputError("--seeds, --evaluations, --workers", "one is below 1", "give positive numbers")
    from puffer_phc.sweeps import comparison
    from puffer_phc.sweeps.synthetic import PROBLEMS

    methods = _chosen(options.samplers, comparison.METHODS)
    comparison.optuna.logging.set_verbosity(comparison.optuna.logging.WARNING)
    warnings.simplefilter("ignore")  # Optuna's about its experimental features
    torch.set_num_threads(1)  # the matrices are too small to share
    problems = [make() for make in PROBLEMS]
    sweeps = len(methods) * len(problems) * len(options.workers) * options.seeds
    with Progress(console=console) as bar:
        task = bar.add_task(f"{sweeps} sweeps of {options.evaluations} runs", total=sweeps)
        rows = comparison.compare(
            methods,
            problems,
            options.workers,
            range(options.seeds),
            options.evaluations,
            lambda: bar.advance(task),
        )
    table = comparison.markdown(rows)
    if options.out is not None:
        try:
            options.out.write_text(table, encoding="utf-8")
        except OSError as error:
            raise InputError(options.out, f"cannot be written ({error.strerror})", "name a writable file") from None
    console.print(Markdown(table))
    return 0


def _chosen(names: Sequence[str] | None, methods: Sequence[Method]) -> list[Method]:
    known = {method.name: method for method in methods}
    for name in names or ():
        if name not in known:
            raise InputError("--samplers", f"{name!r} is unknown", f"use some of {', '.join(map(repr, known))}")
    return [known[name] for name in names] if names else list(methods)


if __name__ == "__main__":
    sys.exit(main())
