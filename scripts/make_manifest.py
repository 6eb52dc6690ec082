#!/usr/bin/env python3
"""List a folder of motions in a manifest: ``scripts/make_manifest.py FOLDER [--out dataset.yaml] [--test-share 0.1]``.

The manifest names every motion file with its checksum and split; weights and frame rates can be added by hand
(``weight: 2``, ``fps: 120`` under a path). ``--check`` tells instead whether a manifest still fits its files.
"""

from __future__ import annotations

import argparse
import sys
import typing
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from puffer_phc.cli import guarded
from puffer_phc.motions.manifest import load_manifest
from puffer_phc.motions.manifest_making import SplitBy, make_manifest


def main() -> int:
    """Parse and write, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of motions; with --check a manifest")
    parser.add_argument("--out", type=Path, help="manifest to write (default: FOLDER/dataset.yaml)")
    parser.add_argument("--test-share", type=float, default=0.0, help="share of files in the split test (default: 0)")
    parser.add_argument(
        "--split-by", choices=typing.get_args(SplitBy), default="file", help="folder keeps a folder's files together"
    )
    parser.add_argument("--check", action="store_true", help="check that every file is there and unchanged")
    args = parser.parse_args()
    return guarded(lambda console: run(args, console))


def run(args: argparse.Namespace, console: Console) -> int:
    """Write or check with the options parsed; returns the exit code.

    Raises:
        InputError: there are no motions, or the manifest is wrong or does not fit its files.
    """
    if args.check:
        console.print(
            f"{args.source}: {len(load_manifest(args.source))} files, all unchanged", highlight=False, soft_wrap=True
        )
        return 0
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        out, entries, ignored = make_manifest(
            args.source,
            args.out,
            args.test_share,
            args.split_by,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    splits = ", ".join(f"{count} {split}" for split, count in sorted(Counter(e.split for e in entries).items()))
    console.print(f"{out}: {len(entries)} motions ({splits})", highlight=False, markup=False, soft_wrap=True)
    if ignored:
        console.print(f"no motions: {', '.join(ignored[:5])}{' …' if len(ignored) > 5 else ''}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
