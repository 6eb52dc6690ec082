"""What a comparison is: options, tasks, cells and what a cell leaves behind."""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TextIO

import gymnasium
import numpy as np
from numpy.typing import NDArray

from puffer_phc.comparison import state
from puffer_phc.comparison.state import State
from puffer_phc.errors import InputError
from puffer_phc.training.run_folder import make_folder, versions

TaskName = Literal["humanoid", "tracking"]
Algorithm = Literal["ours", "ppo", "a2c", "sac"]
ALGORITHMS: tuple[Algorithm, ...] = ("ours", "ppo", "a2c", "sac")
GYM_IDS: dict[TaskName, str] = {"humanoid": "Humanoid-v5", "tracking": "puffer_phc:puffer_phc/HumanoidPHC-v0"}
Act = Callable[[NDArray[Any]], NDArray[Any]]
"""From an observation (O,) to the deterministic action (A,) of the task's Gymnasium environment."""

_LOG_INTERVAL = 0.5  # s between rows of progress
_SAVE_INTERVAL = 60.0  # s between states of a run
_TRAIN_PER_SAVE = 20.0  # s of training at least for each second of saving: SAC's memory takes gigabytes


@dataclass(frozen=True)
class StudyConfig:
    """Compares our PPO with Stable-Baselines3's PPO, A2C and SAC at their default parameters.

    Attributes:
        task: humanoid is Gymnasium's Humanoid-v5, tracking our own environment on its default motion.
        steps: environment steps of each run.
        seconds: each run also ends after this many seconds of training; 0 for no limit.
        seeds: runs of each algorithm.
        seed: only the run with this seed; 0 for all of them.
        only: algorithms to run; empty for all.
        cores: processor cores that a run may use.
        num_envs: environments that Stable-Baselines3 runs side by side, in processes when there are several cores; 0
            for one on each core, but one for SAC, which learns once for each step of all of them.
        episodes: played without exploration noise at the end of a run.
        video: film one of them.
        out: folder of the results; runs that are finished there are not repeated, interrupted ones go on.
        plot_only: run nothing, draw plots and table of what is there.
    """

    task: TaskName = "humanoid"
    steps: int = 100_000
    seconds: float = 0.0
    seeds: int = 3
    seed: int = 0
    only: tuple[Algorithm, ...] = ()
    cores: int = 1
    num_envs: int = 0
    episodes: int = 10
    video: bool = True
    out: Path = Path("comparison")
    plot_only: bool = False

    def cells(self) -> list[Cell]:
        """The runs this process is to make."""
        seeds = [self.seed] if self.seed else list(range(1, self.seeds + 1))
        return [Cell(self, algorithm, seed) for algorithm in self.only or ALGORITHMS for seed in seeds]

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            InputError: an option is out of range.
        """
        least = {"steps": 1, "seeds": 1, "cores": 1, "episodes": 1, "seconds": 0, "num_envs": 0, "seed": 0}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise InputError(f"--{name}", f"{getattr(self, name)} is out of range", "give a larger number")


@dataclass(frozen=True)
class Cell:
    """One run: an algorithm with a seed."""

    study: StudyConfig
    algorithm: Algorithm
    seed: int

    @property
    def folder(self) -> Path:
        """Where it writes."""
        return self.study.out / self.study.task / f"{self.algorithm}-{self.seed}"

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same in runs that are compared."""
        return {name: getattr(self.study, name) for name in ("task", "steps", "seconds", "cores")}

    def finished(self) -> bool:
        """Whether the run is there already.

        Raises:
            InputError: it is, but was made with other settings.
        """
        file = self.folder / RESULT
        if not file.is_file():
            return False
        found = read_result(file)["settings"]
        if found != self.settings:
            changed = ", ".join(name for name in self.settings if found.get(name) != self.settings[name])
            raise InputError(self.folder, f"was made with another {changed}", "choose another --out")
        return True


RESULT, PROGRESS = "result.json", "progress.jsonl"


@dataclass
class Log:
    """Progress of a running cell: rows in a file, TensorBoard, and a listener.

    Attributes:
        earlier: where an interrupted run goes on, or None.
        steps: environment steps so far.
        seconds: of training so far.
    """

    cell: Cell
    listener: Callable[[int, float], None]
    earlier: State | None = None
    steps: int = 0
    seconds: float = 0.0
    _saving_due: float = 0.0
    _episodes: float = 0.0
    _returns: float = 0.0
    _due: float = 0.0
    _started: float = field(default_factory=time.perf_counter)

    def __enter__(self) -> Self:
        from torch.utils.tensorboard import SummaryWriter  # late: takes a second

        make_folder(self.cell.folder)
        self.earlier = state.load(self.cell.folder, self.cell.settings)
        if self.earlier:
            self.steps, self.seconds = self.earlier.steps, self.earlier.seconds
        else:
            for old in self.cell.folder.glob("events.out.tfevents.*"):  # of an attempt that left nothing to go on with
                old.unlink()
        self._saving_due = self.seconds + _SAVE_INTERVAL
        self._file = self._rows_so_far()
        self._board = SummaryWriter(str(self.cell.folder), purge_step=self.steps + 1 if self.earlier else None)
        self._started = time.perf_counter() - self.seconds
        return self

    def _rows_so_far(self) -> TextIO:
        """The file of rows, without those after the state that the run goes on from."""
        file = self.cell.folder / PROGRESS
        rows = file.read_text(encoding="utf-8").splitlines() if self.earlier and file.is_file() else []
        stream = file.open("w", encoding="utf-8")
        stream.writelines(row + "\n" for row in rows if _steps_of(row) <= self.steps)
        return stream

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._board.close()

    def add(self, steps: int, episodes: float, returns: float) -> bool:
        """Note that training is at ``steps`` and has ended so many more episodes; whether it may go on."""
        self.steps, self.seconds = steps, time.perf_counter() - self._started
        self._episodes += episodes
        self._returns += returns
        limit = self.cell.study.seconds
        over = steps >= self.cell.study.steps or (limit > 0 and self.seconds >= limit)
        if self._episodes and (over or self.seconds >= self._due):
            row = {"steps": steps, "seconds": self.seconds, "episodes": self._episodes, "returns": self._returns}
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
            mean = self._returns / self._episodes
            self._board.add_scalar("episode/return", mean, steps)
            self._board.add_scalar("speed/steps_per_second", steps / max(self.seconds, 1e-9), steps)
            self.listener(steps, mean)
            self._episodes = self._returns = 0.0
            self._due = self.seconds + _LOG_INTERVAL
        return not over

    def keep(self, learner: Callable[[], dict[str, Any]]) -> None:
        """Save the state of the ``learner``, asked for if it is time to; the time this takes is no training."""
        if self.seconds < self._saving_due:
            return
        before = time.perf_counter()
        state.save(self.cell.folder, State(self.cell.settings, self.steps, self.seconds, learner()))
        took = time.perf_counter() - before
        self._started += took
        self._saving_due = self.seconds + max(_SAVE_INTERVAL, _TRAIN_PER_SAVE * took)


def _steps_of(row: str) -> float:
    """Of a row of progress; infinitely many if it was not written to its end."""
    try:
        return float(json.loads(row)["steps"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def write_result(cell: Cell, log: Log, returns: list[float]) -> None:
    """Mark the cell as finished: its last file, written atomically."""
    data = {
        "settings": cell.settings,
        "algorithm": cell.algorithm,
        "seed": cell.seed,
        "steps": log.steps,
        "seconds": log.seconds,
        "evaluation": returns,
        "versions": versions(),
        "options": {name: str(value) for name, value in asdict(cell.study).items()},
    }
    temporary = cell.folder / f".{RESULT}.{os.getpid()}"
    temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    temporary.replace(cell.folder / RESULT)
    state.forget(cell.folder)


def read_result(file: Path) -> dict[str, Any]:
    """The result of a finished cell.

    Raises:
        InputError: the file is damaged.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        for name in ("settings", "algorithm", "seed", "steps", "seconds", "evaluation"):
            data[name]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(file, "is damaged", "remove its folder and run that cell again") from None
    return dict(data)


def make_gym(task: TaskName, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """One Gymnasium environment of ``task``, observations as float32."""
    env: gymnasium.Env[Any, Any] = gymnasium.make(GYM_IDS[task], render_mode=render_mode)
    if env.observation_space.dtype != np.float32:
        with warnings.catch_warnings(action="ignore"):  # of its unbounded space in fewer digits
            env = gymnasium.wrappers.DtypeObservation(env, np.float32)
    return env


def evaluate(task: TaskName, act: Act, episodes: int, seed: int) -> list[float]:
    """Returns of ``episodes`` episodes in the task's Gymnasium environment, the same starts for everybody."""
    env = make_gym(task)
    returns = []
    for episode in range(episodes):
        obs, _ = env.reset(seed=10_000 * seed + episode)
        total, done = 0.0, False
        while not done:
            obs, reward, terminated, truncated, _ = env.step(act(obs))
            total += float(reward)
            done = terminated or truncated
        returns.append(total)
    env.close()
    return returns


def film(task: TaskName, act: Act, path: Path) -> None:
    """Film one episode.

    Raises:
        InputError: there is no OpenGL, or the video cannot be written.
    """
    from puffer_phc.viewers.gl import make_context
    from puffer_phc.viewers.video import VideoWriter

    make_context(16, 16).free()  # tells what is missing before Gymnasium's renderer fails in many ways
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")
    env = make_gym(task, "rgb_array")
    fps = env.metadata["render_fps"]
    every = max(1, round(fps / 30))
    obs, _ = env.reset(seed=0)
    with VideoWriter(path, fps=fps / every) as video:
        done, step = False, 0
        while not done:
            if step % every == 0:
                video.write(np.asarray(env.render()))
            obs, _, terminated, truncated, _ = env.step(act(obs))
            done, step = terminated or truncated, step + 1
    env.close()
