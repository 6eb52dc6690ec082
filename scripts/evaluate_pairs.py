#!/usr/bin/env python3
"""Any human with any prosthesis: ``scripts/evaluate_pairs.py --humans A.pt B.pt --prostheses C.pt [--video all]``.

Humans are policies of a whole body, prostheses checkpoints of a game (``--game.mode``); see docs/game.md. Runs called
NAME-1, NAME-2 and so on are of one kind: their mean and deviation are in a second table.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from puffer_phc.cli import guarded
from puffer_phc.evaluation_mode import labels_of, safe_name
from puffer_phc.game.pair_groups import kinds, kinds_table, partners, with_effort, write_kinds
from puffer_phc.game.pairs import PairResult, pairs_table, stages, write_pairs
from puffer_phc.processor import intra_op_threads
from puffer_phc.training import checkpoint
from puffer_phc.training.run_folder import make_folder
from puffer_phc.viewers.play import write_video


def main() -> int:
    """Parse, evaluate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--humans", nargs="+", type=Path, required=True, help="checkpoints or run folders")
    parser.add_argument("--prostheses", nargs="*", type=Path, default=[], help="checkpoints or run folders of games")
    parser.add_argument("--paired", action="store_true", help="only a human with prostheses trained beside that human")
    parser.add_argument("--out", type=Path, default=Path("experiments/pairs"), help="folder of the tables and videos")
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
    label_of = dict(zip(humans, labels, strict=False))
    met = {path: partners(path, humans) if args.paired else humans for path in prostheses}
    results: list[PairResult] = []
    make_folder(args.out)
    with intra_op_threads(1):
        for prosthesis, made, stage in stages(humans, named, args.device, args.episodes, args.motion_file, args.seed):
            for human in met[made] if made else humans:
                policy = stage.meet(human, made)
                result = stage.measure(policy, label_of[human], prosthesis)
                results.append(with_effort(result, made or human))
                pair = f"{result.human}+{prosthesis}"
                if pair in args.video or args.video == ["all"]:
                    film = args.out / f"{safe_name(pair)}.mp4"
                    write_video(film, stage.robot, stage.record(policy), 1.0 / stage.cfg.robot.control_dt)
                    console.print(f"video: {film}", soft_wrap=True)
                write_pairs(args.out / "pairs.tsv", results)
    _report(results, args.out, console)
    return 0


def _report(results: list[PairResult], folder: Path, console: Console) -> None:
    """Print both tables and say where they are."""
    console.print(pairs_table(results))
    console.print(f"table: {folder / 'pairs.tsv'}", soft_wrap=True)
    grouped = kinds(results)
    if len(grouped) < len(results):
        write_kinds(folder / "kinds.tsv", grouped)
        console.print(kinds_table(grouped))
        console.print(f"table: {folder / 'kinds.tsv'}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
