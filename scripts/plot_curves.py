#!/usr/bin/env python3
"""Draw the learning curves of runs: ``scripts/plot_curves.py experiments/A experiments/B --out curves.png``."""

import argparse
import sys
from pathlib import Path

from puffer_phc.cli import guarded
from puffer_phc.evaluation.curves import plot_curves


def main() -> int:
    """Parse and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--out", type=Path, default=Path("curves.png"), help="picture to write (default: curves.png)")
    parser.add_argument("--title", default="", help="headline")
    parser.add_argument("--against", choices=("seconds", "step"), default="seconds", help="horizontal axis")
    options = parser.parse_args()

    def draw(_: object) -> int:
        plot_curves(options.runs, options.out, options.title, options.against)
        print(options.out)
        return 0

    return guarded(draw)


if __name__ == "__main__":
    sys.exit(main())
