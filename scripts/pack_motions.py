#!/usr/bin/env python3
"""Pack motions of the robot into one memory-mapped file: ``scripts/pack_motions.py FOLDER --out data.motions.pt``.

For data sets of many hours: half a kilobyte a frame, opened in a moment. Train on it with ``--env.motion_file``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track

from puffer_phc.cli import guarded
from puffer_phc.config import Config
from puffer_phc.errors import InputError
from puffer_phc.factory import make_robot
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.packed import SUFFIX, write_packed


def main() -> int:
    """Parse and pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="motion file, folder or glob pattern")
    parser.add_argument("--out", type=Path, required=True, help=f"file to write, NAME{SUFFIX}")
    parser.add_argument("--height-fix", choices=("contact", "first_frames", "off"), default="contact")
    args = parser.parse_args()

    def work(console: Console) -> int:
        if not args.out.name.endswith(SUFFIX):
            raise InputError(args.out, f"must end in {SUFFIX}", f"write {args.out.name}{SUFFIX}")
        clips = load_motions(args.source)
        shown = track(clips, "packing", console=console, disable=not console.is_terminal)
        index = write_packed(args.out, shown, make_robot(Config()), args.height_fix)
        minutes = float(((index.num_frames - 1) / index.fps).sum()) / 60
        size = args.out.stat().st_size / 2**20
        console.print(f"{len(index.names)} clips, {minutes:,.1f} minutes, {size:,.1f} MiB: {args.out}", soft_wrap=True)
        return 0

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
