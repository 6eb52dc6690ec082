#!/usr/bin/env python3
"""Convert motion files of any known format for a robot: ``scripts/convert_motions.py FILE_OR_FOLDER --out FOLDER``.

Motions are retargeted to the robot, resampled, mended and put on the floor. A report (HTML and JSON) tells what was
mended, dropped and why. Started again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from puffer_phc.cli import guarded
from puffer_phc.motions.body_shape import MODEL_FOLDER
from puffer_phc.motions.conversion import convert
from puffer_phc.motions.conversion_files import ROBOTS, ConversionOptions
from puffer_phc.motions.formats.options import options_from_texts


def main() -> int:
    """Parse and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="motion file, or folder to search")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results (for one file also x.npz)")
    parser.add_argument("--robot", default="smpl", help=f"{', '.join(ROBOTS)}, or an MJCF file (default: smpl)")
    parser.add_argument("--settings", type=Path, help="YAML file that belongs to the MJCF, such as configs/g1.yaml")
    parser.add_argument("--smpl", type=Path, default=MODEL_FOLDER, help="folder of your SMPL files (default: smpl)")
    parser.add_argument("--target-fps", type=float, default=30.0, help="frames per second of the results (default: 30)")
    parser.add_argument("--joint-map", type=Path, help="file with lines 'robot body: source joint'")
    told = parser.add_argument_group("facts that the files do not tell")
    told.add_argument("--fps", default="", help="frames per second of files that do not say")
    told.add_argument("--override-fps", default="", help="frames per second, whatever the files say")
    told.add_argument("--unit", default="", help="m, cm, mm, inch, or metres per unit")
    told.add_argument("--up", default="", help="axis that points up: y or z")
    told.add_argument("--forward", default="", help="axis that the rest pose faces, such as z or -y")
    told.add_argument("--skip-first", default="", help="frames to leave out at the beginning")
    told.add_argument("--skeleton-file", default="", help="the .asf that belongs to an .amc")
    told.add_argument("--source-robot", default="", help="whose joint angles the file holds: unitree_g1")
    parser.add_argument("--no-clean", action="store_true", help="only transfer, mend nothing")
    parser.add_argument("--keep-rejected", action="store_true", help="also write clips that the quality check rejects")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one per core)")
    parser.add_argument("--report", type=Path, help="folder for the report (default: OUT_report)")
    args = parser.parse_args()
    names = ("fps", "override_fps", "unit", "up", "forward", "skip_first", "skeleton_file", "source_robot")
    facts = {name: getattr(args, name) for name in names}

    def work(console: object) -> int:
        options = ConversionOptions(
            source=args.source,
            out=args.out,
            robot=args.robot,
            target_fps=args.target_fps,
            told=options_from_texts("--", facts),
            joint_map=args.joint_map,
            clean=not args.no_clean,
            keep_rejected=args.keep_rejected,
            workers=args.workers,
            report=args.report,
            settings=args.settings,
            smpl=args.smpl,
        )
        convert(options, console)  # type: ignore[arg-type]
        return 0

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
