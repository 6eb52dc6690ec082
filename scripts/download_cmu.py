#!/usr/bin/env python3
"""Fetch recordings of CMU's motion capture database: ``scripts/download_cmu.py 02_01 05_01-06 07 --out cmu``.

Names are trials (02_01), ranges of them (02_01-05) or subjects (07). Started again, it goes on where it stopped. The
data are free to use but not to sell; CMU asks to be named: "The data used in this project was obtained from
mocap.cs.cmu.edu. The database was created with funding from NSF EIA-0196217."
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from puffer_phc.cli import guarded
from puffer_phc.errors import InputError
from puffer_phc.motions.cmu import BASE_URL, download
from puffer_phc.motions.download import Fetched, Patience


def main() -> int:
    """Parse and fetch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="subjects and trials")
    parser.add_argument("--out", type=Path, default=Path("cmu"), help="folder to write to (default: cmu)")
    parser.add_argument("--base-url", default=BASE_URL, help="server with the same layout (default: %(default)s)")
    parser.add_argument("--parallel", type=int, default=4, help="connections at a time (default: 4)")
    parser.add_argument("--attempts", type=int, default=5, help="requests per file before giving up (default: 5)")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds to wait for an answer (default: 30)")
    args = parser.parse_args()
    return guarded(lambda console: run(args, console))


def run(args: argparse.Namespace, console: Console) -> int:
    """Fetch with the options parsed; returns the exit code.

    Raises:
        InputError: an option is wrong, or not every file could be fetched.
    """
    if args.attempts < 1 or not args.timeout > 0:
        raise InputError("--attempts, --timeout", "too small", "give at least 1 attempt and more than 0 seconds")
    columns = (TextColumn("fetching"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def show(result: Fetched) -> None:
            bar.advance(task)
            if result.fault:
                bar.console.print(f"{result.fetch.url}: {result.fault}", highlight=False, markup=False, soft_wrap=True)

        results = download(
            args.names,
            args.out,
            args.base_url,
            args.parallel,
            Patience(args.attempts, timeout=args.timeout),
            lambda total: bar.update(task, total=total),
            show,
        )
    failed = [result for result in results if result.fault]
    old = sum(result.old for result in results)
    new = len(results) - old - len(failed)
    console.print(f"{args.out}: {new} files fetched, {old} were there", highlight=False, markup=False, soft_wrap=True)
    if failed:
        fault = f"{len(failed)} of {len(results)} files could not be fetched (first: {failed[0].fault})"
        raise InputError(failed[0].fetch.url, fault, "check names and network and start again: what is there is kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
