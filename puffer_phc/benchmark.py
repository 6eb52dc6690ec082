"""How fast each layer runs, as shares of the layer below it, measured in one run."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from rich import box
from rich.table import Table
from torch import Tensor

from gymtorch import capture
from puffer_phc.config import Config, resolve
from puffer_phc.config_checks import check
from puffer_phc.factory import make_env, make_library, make_robot
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.processor import intra_op_threads
from puffer_phc.training.learner import Learner
from puffer_phc.training.run_folder import versions
from puffer_phc.training.trainer import memory_use


@dataclass(frozen=True)
class Rates:
    """Control steps (samples) per second of each layer: medians over rounds."""

    raw: float
    env: float
    rollout: float
    learner: float
    training: float

    @classmethod
    def of(cls, rounds: Sequence[dict[str, float]], samples: int) -> Rates:
        """Medians over ``rounds`` of seconds by layer, each for ``samples`` control steps."""
        layers = [item.name for item in fields(cls)]
        return cls(*(samples / statistics.median(taken[layer] for taken in rounds) for layer in layers))

    @property
    def bound(self) -> float:
        """Training rate if rollouts were nothing but physics."""
        return 1 / (1 / self.raw + 1 / self.learner)

    def split(self) -> dict[str, float]:
        """Shares of the training time, which sum to 1."""
        times = {
            "physics": 1 / self.raw,
            "rest of the environment": 1 / self.env - 1 / self.raw,
            "policy and bookkeeping": 1 / self.rollout - 1 / self.env,
            "learner": 1 / self.learner,
        }
        return {name: seconds * self.training for name, seconds in times.items()}


class Benchmark:
    """Runs the layers in turn, round after round, so that a slow moment of the machine hits all of them.

    Attributes:
        cfg: what is measured, with nothing left on auto.
        samples: control steps of one round.
    """

    def __init__(self, cfg: Config, device: torch.device) -> None:
        self.cfg, self.device = resolve(cfg, device), device
        check(self.cfg)  # once more: the horizon is known only now
        robot = make_robot(self.cfg)
        library = make_library(self.cfg, robot, device)
        torch.manual_seed(cfg.base.seed)
        self.env = make_env(self.cfg, robot, library, self.cfg.env.num_envs, device, cfg.base.seed)
        self.samples = self.env.num_envs * self.cfg.train.horizon
        policy = ActorCritic(self.env.num_obs, self.env.num_actions, self.cfg.policy, self.cfg.policy.hidden)
        self.learner = Learner(self.cfg, self.env, policy.to(device))
        # As in training: on a GPU a step is one graph, not hundreds of launches.
        self._target, self._action = (
            torch.zeros(self.env.num_envs, self.env.num_actions, device=device) for _ in range(2)
        )
        captured = device if cfg.train.capture else "cpu"
        self._physics = capture(lambda: self.env.simulator.physics(self._target), device=captured)
        self._step = capture(lambda: self.env.step(self._action), device=captured, generators=(self.env.generator,))

    def run(self, rounds: int, progress: Callable[[int, int], None] | None = None) -> Rates:
        """Measure ``rounds`` times after one round of warm-up."""
        taken = []
        for index in range(rounds + 1):
            taken.append(self.round())
            if progress:
                progress(index + 1, rounds + 1)
        return Rates.of(taken[1:], self.samples)

    def iterate(self) -> None:
        """One rollout and one update."""
        self.learner.collect()
        self.learner.learn()

    def round(self) -> dict[str, float]:
        """Seconds of each layer of :class:`Rates` for one horizon."""
        taken = {"raw": self._raw(), "env": self._env()}
        start = self._now()
        self.learner.collect()
        middle = self._now()
        self.learner.learn()
        end = self._now()
        return {**taken, "rollout": middle - start, "learner": end - middle, "training": end - start}

    def _raw(self) -> float:
        """Seconds of one horizon of bare physics, from the environment's start states and with its own targets."""
        env = self.env
        env.reset()
        targets = []
        for action in self._actions():
            targets.append(env.actions(action))
            env.progress += 1
        start = self._now()
        for target in targets:
            self._target.copy_(target)
            self._physics()
        seconds = self._now() - start
        env.reset()
        return seconds

    def _env(self) -> float:
        """Seconds of one horizon of environment steps from the same kind of states."""
        actions = self._actions()
        with intra_op_threads(1):
            start = self._now()
            for action in actions:
                self._action.copy_(action)
                self._step()
            return self._now() - start

    def _actions(self) -> Tensor:
        """Actions (T, N, D) that explore as the untrained policy does."""
        shape = (self.cfg.train.horizon, self.env.num_envs, self.env.num_actions)
        return torch.randn(shape, device=self.device) * float(self.learner.policy.log_std.exp().mean())

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def memory(device: torch.device) -> str:
    """What the process holds on a GPU, or of main memory."""
    for used in memory_use(device).values():
        return (
            f"GPU memory: {used:.1f} GiB in use, of it torch {torch.cuda.max_memory_reserved(device) / 2**30:.1f} GiB"
        )
    return f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB at most"


def caption(device: torch.device) -> str:
    """What rates were measured on."""
    found = versions()
    return f"{device}, {torch.get_num_threads()} threads, torch {found['torch']}, mujoco {found['mujoco']}"


def table(cfg: Config, device: torch.device, rates: Rates) -> Table:
    """The rates with their ratios, and what they were measured on."""
    shape = f"{cfg.env.num_envs:,} envs x {cfg.train.horizon} steps, {cfg.train.epochs} epochs"
    out = Table(
        title=f"{shape}; {cfg.robot.integrator} {cfg.robot.timestep:.5f} s x {cfg.robot.substeps}",
        caption=caption(device),
    )
    out.box = box.SIMPLE_HEAD
    out.add_column("layer")
    out.add_column("control steps / s", justify="right")
    out.add_column("ratio", justify="right")
    out.add_column("of")
    for layer, rate, base, name in (
        ("raw physics", rates.raw, None, ""),
        ("environment", rates.env, rates.raw, "raw physics"),
        ("rollout (environment + policy)", rates.rollout, rates.raw, "raw physics"),
        ("learner alone", rates.learner, None, ""),
        ("full training", rates.training, rates.raw, "raw physics"),
        ("", None, rates.training / rates.bound, "physics, then learner"),
    ):
        shown = "" if rate is None else f"{rate:,.0f}"
        ratio = "" if base is None else f"{(rate / base if rate is not None else base):.2f}"
        out.add_row(layer, shown, ratio, name)
    return out
