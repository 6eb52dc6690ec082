#!/usr/bin/env python3
"""Show a motion file on the humanoid: ``scripts/vis_motion_mj.py FILE [--clip NAME|NUMBER] [--video OUT.mp4]``.

Without --video it opens MuJoCo's window. Keys: space pauses, left and right go back and forth (by single frames while
paused), up and down change the clip, - and = change the speed, backspace starts again.
"""

from __future__ import annotations

import argparse
import sys
import typing
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from puffer_phc.cli import guarded
from puffer_phc.motions.formats.options import options_from_texts
from puffer_phc.motions.library import HeightFix
from puffer_phc.motions.loading import load_motions

_FACTS = ("fps", "override_fps", "unit", "up", "forward", "skip_first")


def main() -> int:
    """Parse and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion", help="motion file of any known format, folder or pattern")
    parser.add_argument("--clip", "-i", default="0", metavar="NAME|NUMBER", help="clip, counted from 0 (default: 0)")
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of motion per second (default: 1)")
    choices = typing.get_args(HeightFix)
    parser.add_argument("--height-fix", choices=choices, default="contact", help="see docs/motions.md (%(default)s)")
    parser.add_argument("--video", type=Path, metavar="OUT.mp4", help="write a video instead of opening a window")
    told = parser.add_argument_group("facts that the file does not tell")
    told.add_argument("--fps", default="", help="frames per second, if the file does not say")
    told.add_argument("--override-fps", default="", help="frames per second, whatever the file says")
    told.add_argument("--unit", default="", help="m, cm, mm, inch, or metres per unit")
    told.add_argument("--up", default="", help="axis that points up: y or z")
    told.add_argument("--forward", default="", help="axis that the rest pose faces, such as z or -y")
    told.add_argument("--skip-first", default="", help="frames to leave out at the beginning")
    args = parser.parse_args()
    return guarded(lambda console: run(args, console))


def run(args: argparse.Namespace, console: Console) -> int:
    """Show with the options parsed; returns the exit code.

    Raises:
        InputError: the motion cannot be read, has no such clip, or there is neither a window nor OpenGL.
    """
    from puffer_phc.robots.smpl import smpl_robot
    from puffer_phc.viewers.motion_player import check_speed, choose_clip, player_for
    from puffer_phc.viewers.motion_viewer import show, write_motion_video

    check_speed(args.speed)
    clips = load_motions(args.motion, options_from_texts("--", {name: getattr(args, name) for name in _FACTS}))
    robot = smpl_robot()
    index = choose_clip(clips, args.clip, args.motion)
    player = player_for(clips, robot, index, args.height_fix, args.speed)
    if args.video is None:
        show(robot, player, lambda text: console.print(text, highlight=False, markup=False))
        return 0
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("rendering", total=None)
        pictures = write_motion_video(
            args.video,
            robot,
            player.track,
            args.speed,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    console.print(f"{args.video}: {pictures} pictures of {player.track.name}", highlight=False, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
