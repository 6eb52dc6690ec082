#!/usr/bin/env python3
"""Any human with any prosthesis: ``scripts/evaluate_pairs.py --humans A.pt B.pt --prostheses C.pt [--video all]``.

Humans are policies of a whole body, prostheses checkpoints of a game (``--game.mode``); see docs/game.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from puffer_phc.cli import guarded
from puffer_phc.evaluation_mode import labels_of, safe_name
from puffer_phc.game.pairs import pairs_table, stages, write_pairs
from puffer_phc.training import checkpoint
from puffer_phc.training.run_folder import make_folder
from puffer_phc.training.threads import intra_op_threads
from puffer_phc.viewers.play import write_video


def main() -> int:
    """Parse, evaluate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--humans", nargs="+", type=Path, required=True, help="checkpoints or run folders")
    parser.add_argument("--prostheses", nargs="*", type=Path, default=[], help="checkpoints or run folders of games")
    parser.add_argument("--out", type=Path, default=Path("experiments/pairs"), help="folder for pairs.tsv and videos")
    parser.add_argument("--episodes", type=int, default=256, help="for each pair, from the same random starts")
    parser.add_argument("--motion-file", default="", help="motions (default: those of the checkpoints)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--seed", type=int, default=1, help="of the starts")
    parser.add_argument("--video", nargs="*", default=[], metavar="HUMAN+PROSTHESIS", help="pairs to film, or all")
    args = parser.parse_args()
    return guarded(lambda console: _work(args, console))


def _work(args: argparse.Namespace, console: Console) -> int:
    humans, prostheses = ([checkpoint.find(path) for path in paths] for paths in (args.humans, args.prostheses))
    labels = labels_of([*humans, *prostheses])
    named = list(zip(labels[len(humans) :], prostheses, strict=True))
    results = []
    make_folder(args.out)
    with intra_op_threads(1):
        for prosthesis, stage in stages(humans, named, args.device, args.episodes, args.motion_file, args.seed):
            for human, path in zip(labels, humans, strict=False):
                policy = stage.meet(path)
                results.append(stage.measure(policy, human, prosthesis))
                pair = f"{human}+{prosthesis}"
                if pair in args.video or args.video == ["all"]:
                    film = args.out / f"{safe_name(pair)}.mp4"
                    write_video(film, stage.robot, stage.record(policy), 1.0 / stage.cfg.robot.control_dt)
                    console.print(f"video: {film}", soft_wrap=True)
    console.print(pairs_table(results))
    write_pairs(args.out / "pairs.tsv", results)
    console.print(f"table: {args.out / 'pairs.tsv'}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
