#!/usr/bin/env python3
"""Runs as one web page: ``scripts/report.py experiments/A [experiments/B ...] [--out report.html]``."""

import argparse
import sys
from pathlib import Path

from puffer_phc.cli import guarded
from puffer_phc.evaluation.report import write_atomic
from puffer_phc.evaluation.run_report import run_page


def main() -> int:
    """Parse and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--out", type=Path, help="page to write (default: RUN/report.html, or report.html for several)")
    options = parser.parse_args()

    def write(_: object) -> int:
        out = options.out or (options.runs[0] / "report.html" if len(options.runs) == 1 else Path("report.html"))
        write_atomic(out, run_page(options.runs))
        print(out)
        return 0

    return guarded(write)


if __name__ == "__main__":
    sys.exit(main())
