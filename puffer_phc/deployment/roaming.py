"""A policy that follows no motion moves about in plain MuJoCo: does it stay up, does it do what it is asked?

Episodes are the trainer's: they start from poses of the exported motions, goals change as in training or are given, and
falls are told by the same rules. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from puffer_phc.deployment.falls import make_fall_rule
from puffer_phc.deployment.folder import Deployment, choose_clips, fitting_frames
from puffer_phc.deployment.goals import make_goal
from puffer_phc.deployment.metadata import MOTIONS_FILE, EpisodeScore
from puffer_phc.deployment.motions import MotionFrames
from puffer_phc.deployment.sight import Bodies, Sight
from puffer_phc.deployment.torque import Torque, torque_lines, torque_of, worst_torque
from puffer_phc.errors import InputError
from puffer_phc.quaternions import Array

OnStep = Callable[[Array, int], None]
"""Told after each control step: simulated qpos, steps so far."""


class Start(NamedTuple):
    """A state to start from.

    Attributes:
        name: for messages.
        qpos, qvel: (nq,) and (nv,), MuJoCo's.
        bodies: (1, B, ...) their motion; None where it follows from ``qpos`` and ``qvel``.
    """

    name: str
    qpos: Array
    qvel: Array
    bodies: Bodies | None


@dataclass(frozen=True)
class Episode:
    """One episode.

    Attributes:
        start: what it started from.
        steps: control steps until the fall or the end.
        fell: it ended in a fall.
        task_reward: the trainer's, mean of a step.
        errors: means of a step, see ``Goal.errors``.
        torque: of the joints.
    """

    start: str
    steps: int
    fell: bool
    task_reward: float
    errors: tuple[float, ...]
    torque: Torque


class Roamer:
    """Plays episodes of a policy that follows no motion.

    Args:
        deployment: its folder.
        goal: numbers of a goal that stays, see ``Goal.place``; None for goals drawn as in training.
        motions: whose frames are starts; None for the folder's, if it has any.
        clip: start from this clip alone; empty for all.
        standing: start from the standing pose instead.

    Attributes:
        deployment: as given.
        metadata, model: its, and MuJoCo's.
        task: what the policy was trained for.
        goal: the kind of goal.
        starts: where episodes start, in words.

    Raises:
        InputError: the policy follows motions, or something does not fit it.
    """

    def __init__(
        self,
        deployment: Deployment,
        goal: Array | None = None,
        motions: Path | None = None,
        clip: str = "",
        standing: bool = False,
    ) -> None:
        task = deployment.metadata.task
        if task is None:
            raise InputError(deployment.folder, "holds a policy that follows motions", "let it perform them")
        self.deployment, self.metadata, self.model = deployment, deployment.metadata, deployment.plant.model
        self.task, self.goal, self._given = task, make_goal(task), goal
        self._fallen = make_fall_rule(self.model, self.metadata, task)
        self._share = 1.0 if standing else {"default": 1.0, "hybrid": task.default_share}.get(task.state_init, 0.0)
        self._frames = self._find_frames(motions, clip) if self._share < 1.0 or clip else None
        self._clips = choose_clips(self._frames, clip) if self._frames else []
        self.starts = self._describe_starts()

    def _find_frames(self, motions: Path | None, clip: str) -> MotionFrames | None:
        path = motions or self.deployment.folder / MOTIONS_FILE
        if not path.exists() and not motions and not clip:  # exported without
            self._share = 1.0
            return None
        return fitting_frames(path, self.metadata)

    def _describe_starts(self) -> str:
        if self._frames is None or self._share == 1.0:
            return "standing"
        where = "the beginning" if self.task.state_init == "start" else "anywhere"
        clips = f"{where} in {len(self._clips)} clip(s)"
        return f"{clips}, {self._share:.0%} standing" if self._share else clips

    def start(self, generator: np.random.Generator) -> Start:
        """A state drawn as in training."""
        if self._frames is None or generator.uniform() < self._share:
            return Start("standing", np.array(self.task.default_qpos), np.zeros(self.model.nv), None)
        frames, clip = self._frames, int(generator.choice(self._clips))
        number = 0 if self.task.state_init == "start" else int(generator.integers(frames.num_frames[clip]))
        row = int(frames.num_frames[:clip].sum()) + number
        motion = (frames.body_pos, frames.body_rot, frames.body_vel, frames.body_ang_vel)
        bodies = Bodies(*(array[row : row + 1] for array in motion))
        return Start(f"{frames.names[clip]}, frame {number}", frames.qpos[row], frames.qvel[row], bodies)

    def play(self, steps: int, seed: Sequence[int], on_step: OnStep | None = None) -> Episode:
        """One episode of ``steps`` control steps at most; the same seed gives the same start and goals."""
        deployment, plant = self.deployment, self.deployment.plant
        generator = np.random.default_rng(seed)
        start = self.start(generator)
        plant.reset(start.qpos, start.qvel)
        deployment.runner.reset()
        bodies = plant.bodies() if start.bodies is None else start.bodies
        goal = self._new_goal(generator, bodies)
        done, fell, sums = 0, False, np.zeros(1 + len(self.goal.errors))
        while done < steps and not fell:
            sight = Sight(bodies, plant.dof_vel, goal=goal)
            plant.step(deployment.runner.act(deployment.observe(sight))[0][0])
            bodies, done = plant.bodies(), done + 1
            fell = plant.diverged or (done > 1 and self._fallen(plant.data, bodies))
            if not plant.diverged:  # its state may be anything
                sums += [*self.goal.reward(goal, bodies), *self.goal.error(goal, bodies)[0]]
            if on_step:
                on_step(plant.qpos, done)
            if self._given is None and done % self.task.goal_steps == 0:
                goal = self._new_goal(generator, bodies)
        task_reward, *errors = (sums / done).tolist()
        torque = torque_of(plant, self.metadata.robot)
        return Episode(start.name, done, fell, task_reward, tuple(errors), torque)

    def _new_goal(self, generator: np.random.Generator, bodies: Bodies) -> Array:
        if self._given is not None:
            return self.goal.place(self._given, bodies)
        return self.goal.draw(generator, bodies)


def describe_episodes(
    episodes: Sequence[Episode], steps: int, errors: Sequence[tuple[str, str]], trained: EpisodeScore | None
) -> list[str]:
    """A few lines about episodes of ``steps`` steps at most.

    Args:
        episodes: what was played.
        steps: see there.
        errors: names and units of their errors.
        trained: the trainer's evaluation, where that asked for the same.
    """
    lasted, falls = [episode.steps for episode in episodes], sum(episode.fell for episode in episodes)
    means = np.mean([(episode.task_reward, *episode.errors) for episode in episodes], axis=0)
    measured = [f"task reward {means[0]:.3f} a step"]
    measured += [f"{name} {mean:.2f} {unit}" for (name, unit), mean in zip(errors, means[1:], strict=True)]
    lines = [
        f"  up for {np.mean(lasted):.1f} of {steps} steps (shortest {min(lasted)}), "
        f"{falls} of {len(episodes)} fell ({falls / len(episodes):.0%})",
        "  " + ", ".join(measured),
    ]
    if trained is not None:
        lines.append(
            f"  trainer's evaluation: {trained.steps:.1f} steps, {trained.fall_rate:.0%} of {trained.episodes} fell, "
            f"task reward {trained.task_reward:.3f}"
        )
    return [*lines, *torque_lines(worst_torque([episode.torque for episode in episodes]))]


def film_episode(roamer: Roamer, steps: int, seed: Sequence[int], path: Path) -> Episode:
    """Play one episode into an mp4 file, the robot alone.

    Raises:
        InputError: no OpenGL is to be had, or the file cannot be written.
    """
    from puffer_phc.viewers.render import MotionRenderer  # late: only pictures need OpenGL
    from puffer_phc.viewers.video import VideoWriter

    fps = 1.0 / roamer.metadata.control_dt
    with MotionRenderer(roamer.model, layout="overlay", fps=fps) as renderer, VideoWriter(path, fps=fps) as video:

        def show(qpos: Array, step: int) -> None:
            video.write(renderer.frame(qpos, None, f"{roamer.task.goal}   {step / fps:5.2f} s"))

        return roamer.play(steps, seed, show)
