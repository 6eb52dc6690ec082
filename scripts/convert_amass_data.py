#!/usr/bin/env python3
"""Convert AMASS to one file of many clips, as PHC's script does: ``scripts/convert_amass_data.py --path AMASS``.

Writes PHC's layout (upright frames, .pkl) or, with ``--out x.npz``, this project's, and a report of what was left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from puffer_phc.cli import guarded
from puffer_phc.motions.amass_conversion import SPLITS, AmassOptions, convert_amass


def main() -> int:
    """Parse and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, required=True, help="AMASS's folder, or one data set's; searched for .npz")
    parser.add_argument("--out", type=Path, help=".pkl (PHC), .npz (ours) or folder (default: the folder of --path)")
    parser.add_argument("--split", choices=SPLITS, default="train", help="part of PHC's split (default: train)")
    parser.add_argument(
        "--occlusion_file",
        "--occlusion-file",
        "--occulusion_file",  # PHC's spelling
        type=Path,
        help="clips to cut or leave out: PHC's amass_copycat_occlusion .pkl, JSON, or lines 'key issue [frame]'",
    )
    parser.add_argument("--failed_keys", "--failed-keys", type=Path, help="only these: failed_*.pkl, JSON or lines")
    parser.add_argument(
        "--name_offset", "--name-offset", type=int, default=-3, help="parts of the path in a key (default: -3)"
    )
    parser.add_argument("--fps", type=float, default=30.0, help="frames per second of the result (default: 30)")
    parser.add_argument("--min-frames", type=int, default=10, help="shorter clips are left out (default: 10)")
    parser.add_argument("--workers", type=int, default=0, help="threads (default: one per core)")
    args = parser.parse_args()
    return guarded(lambda console: run(args, console))


def run(args: argparse.Namespace, console: Console) -> int:
    """Convert with the options parsed; returns the exit code.

    Raises:
        InputError: an option or list is wrong, or nothing is left to write.
    """
    options = AmassOptions(**vars(args))
    columns = (TextColumn("converting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        report = convert_amass(options, lambda done, total: bar.update(task, completed=done, total=total))
    minutes = sum(report.kept.values()) / 60
    lines = [f"{report.out}: {len(report.kept)} clips, {minutes:.1f} minutes, {len(report.cut)} of them cut"]
    lines += [f"left out {count}: {reason}" for reason, count in report.reasons]
    lines += [f"every file: {report.out}.report.json"]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
