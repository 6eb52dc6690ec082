"""An exported folder at work in plain MuJoCo, beside the trainer's own evaluation. Needs no torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from puffer_phc.deployment.folder import Deployment, choose_clips
from puffer_phc.deployment.goals import GOALS, given_goal, make_goal
from puffer_phc.deployment.metadata import FreeTask
from puffer_phc.deployment.performing import Performer, describe, film
from puffer_phc.deployment.roaming import Roamer, describe_episodes, film_episode
from puffer_phc.errors import EXIT_BAD_INPUT, InputError

_GIVEN_GOALS = ("velocity", "heading", "location", "command")
_ROAMING = ("episodes", "seconds", "seed", "standing", *_GIVEN_GOALS)  # options of policies without motions
_EPISODES = 16


def run(arguments: Sequence[str]) -> int:
    """Perform or roam, and print; returns the exit code, 1 when a clip was lost or a robot fell.

    Raises:
        InputError: an argument or a file is wrong.
    """
    args = _parser().parse_args(arguments)
    deployment = Deployment(args.folder, args.timestep)
    metadata, plant = deployment.metadata, deployment.plant
    print(
        f"{metadata.robot.name}, {metadata.training_steps:,} training samples; physics at {plant.timestep:.6g} s x "
        f"{plant.substeps}, trained at {metadata.timestep:.6g} s x {metadata.substeps}"
    )
    return _roam(deployment, metadata.task, args) if metadata.task else _perform(deployment, args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Run an exported policy in plain MuJoCo, without torch and without the training code."
    )
    parser.add_argument("folder", type=Path, help="what --mode export wrote")
    parser.add_argument(
        "--clip", default="", metavar="NAME|NUMBER", help="one clip to perform or to start from (default: all of them)"
    )
    parser.add_argument(
        "--timestep", type=float, metavar="S", help="of physics (default: half the trained one); 0 is the trained one"
    )
    parser.add_argument("--motions", type=Path, metavar="FILE", help="motions.npz of another exported folder")
    parser.add_argument(
        "--video", type=Path, metavar="OUT.mp4", help="film the clip or episode (the first, of several)"
    )
    roaming = parser.add_argument_group(
        "policies that follow no motion (--env.task amp)",
        "Goals change as in training, unless one is given; angles and places are as the robot sees them at the start.",
    )
    roaming.add_argument("--episodes", type=int, metavar="N", help=f"how many are played (default: {_EPISODES})")
    roaming.add_argument("--seconds", type=float, metavar="S", help="of an episode (default: as in training)")
    roaming.add_argument("--seed", type=int, metavar="N", help="of starts and goals (default: 0)")
    roaming.add_argument("--standing", action="store_const", const=True, help="start standing, not in a clip")
    for name in _GIVEN_GOALS:
        given = GOALS[name].given
        roaming.add_argument(f"--{name}", type=float, nargs=len(given), metavar=given, help=f"the goal {name}")
    return parser


def _perform(deployment: Deployment, args: argparse.Namespace) -> int:
    """All clips, or the chosen one."""
    for option in _ROAMING:
        if getattr(args, option) is not None:
            raise InputError(f"--{option}", "this policy follows motions", "leave it out, or choose one with --clip")
    performer = Performer(deployment, args.motions)
    scores = {} if args.motions else {score.name: score for score in deployment.metadata.evaluation}
    success = True
    for index, clip in enumerate(choose_clips(performer.frames, args.clip)):
        motion = performer.motion(clip)
        filming = args.video is not None and index == 0
        performance = film(performer, motion, args.video) if filming else performer.perform(motion)
        print("\n".join(describe(performance, scores.get(motion.name))))
        if filming:
            print(f"  video: {args.video}")
        success &= performance.success
    return 0 if success else 1


def _roam(deployment: Deployment, task: FreeTask, args: argparse.Namespace) -> int:
    """Episodes without a motion to follow."""
    given = given_goal(make_goal(task), task.goal, {name: getattr(args, name) for name in _GIVEN_GOALS})
    roamer = Roamer(deployment, given, args.motions, args.clip, bool(args.standing))
    steps, episodes = _length(deployment, task, args), _EPISODES if args.episodes is None else args.episodes
    if episodes < 1:
        raise InputError("--episodes", f"{episodes} are none", "use 1 or more")
    seed = args.seed or 0
    if seed < 0:
        raise InputError("--seed", f"{seed} is negative", "use 0 or more")
    asked = f"goal {task.goal}" + ("" if given is None else f" {' '.join(f'{number:g}' for number in given)}")
    print(f"{episodes} episodes of {steps * deployment.metadata.control_dt:.1f} s, {asked}, from {roamer.starts}:")
    played = [
        film_episode(roamer, steps, (seed, number), args.video)
        if args.video and number == 0
        else roamer.play(steps, (seed, number))
        for number in range(episodes)
    ]
    as_trained = given is None and steps == task.episode_steps and not (args.motions or args.clip or args.standing)
    trained = task.evaluation if as_trained else None
    print("\n".join(describe_episodes(played, steps, roamer.goal.errors, trained)))
    if args.video:
        print(f"  video: {args.video}")
    return int(any(episode.fell for episode in played))


def _length(deployment: Deployment, task: FreeTask, args: argparse.Namespace) -> int:
    """Control steps of an episode."""
    if args.seconds is None:
        return task.episode_steps
    if not 0 < args.seconds < 1e6:
        raise InputError("--seconds", f"{args.seconds:g} s is no length", "use more than 0")
    return max(1, round(args.seconds / deployment.metadata.control_dt))


def main() -> int:
    """The command line of ``scripts/sim2sim.py``; bad input is told in one line, with exit code 2."""
    try:
        return run(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
