"""The command line of ``scripts/benchmark.py``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from puffer_phc.benchmark import Benchmark, caption, memory, table
from puffer_phc.benchmark_pair import compare, flags_of, pair_table
from puffer_phc.cli import guarded, parse
from puffer_phc.config import Config, resolve_device
from puffer_phc.errors import InputError
from puffer_phc.profiling import kernel_table, trace


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="How fast each layer runs, as shares of the layer below it, measured in one run.",
        epilog="All options of train.py work here too.",
    )
    parser.add_argument("--rounds", type=int, default=15, help="times each layer is measured (default: 15)")
    parser.add_argument(
        "--profile", type=Path, metavar="FILE", help="write a Chrome trace of one iteration and print its kernels"
    )
    parser.add_argument(
        "--against",
        nargs="+",
        metavar="OPTION=VALUE",
        help="also measure, in turn, the same options but for these, such as env.use_amp_obs=true, and the ratio",
    )
    known, rest = parser.parse_known_args()

    def work(console: Console) -> int:
        if known.rounds < 1:
            raise InputError("--rounds", f"{known.rounds} are none", "use 1 or more")
        if known.against:
            _measure_pair(console, rest, known.against, known.rounds)
        else:
            _measure(console, parse(rest), known.rounds, known.profile)
        return 0

    return guarded(work)


def _measure(console: Console, cfg: Config, rounds: int, profile: Path | None) -> None:
    """One set of options; ``profile`` is a file for a trace of one iteration."""
    bench = Benchmark(cfg, resolve_device(cfg.base.device))
    with _bar(console, rounds) as progress:
        rates = bench.run(rounds, progress)
    console.print(table(bench.cfg, bench.device, rates))
    console.print("time: " + ", ".join(f"{name} {share:.0%}" for name, share in rates.split().items()))
    console.print(memory(bench.device))
    _tell_overflow(console, bench)
    if profile:
        console.print(kernel_table(trace(bench.iterate, profile, bench.device)))
        console.print(f"trace: {profile} (open it at ui.perfetto.dev)", soft_wrap=True)


def _measure_pair(console: Console, arguments: Sequence[str], changes: Sequence[str], rounds: int) -> None:
    """Options, and the same but for ``changes``."""
    both = parse(arguments), parse([*arguments, *flags_of(changes)])
    first, second = (Benchmark(cfg, resolve_device(cfg.base.device)) for cfg in both)
    with _bar(console, rounds) as progress:
        found = compare(first, second, rounds, progress)
    console.print(pair_table(found, changes, caption(first.device)))
    console.print(memory(first.device))
    for bench in (first, second):
        _tell_overflow(console, bench)


@contextmanager
def _bar(console: Console, rounds: int) -> Iterator[Callable[[int, int], None]]:
    """A bar, and what to tell how many rounds are done; one more than ``rounds`` is a warm-up."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=rounds + 1)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _tell_overflow(console: Console, bench: Benchmark) -> None:
    if overflow := bench.env.simulator.read_overflow():
        console.print("overflow (humanoids): " + ", ".join(f"{kind} {count}" for kind, count in overflow.items()))
