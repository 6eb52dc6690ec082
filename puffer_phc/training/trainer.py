"""The training loop: rollout, advantage, update, and all that surrounds them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from torch import Tensor

from puffer_phc.config import Config, to_dict
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.rewards import TERM_NAMES
from puffer_phc.evaluation.evaluator import Evaluator
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training import checkpoint
from puffer_phc.training.dashboard import Dashboard
from puffer_phc.training.learner import Learner
from puffer_phc.training.ppo import METRIC_NAMES
from puffer_phc.training.rollout import RolloutStats
from puffer_phc.training.run_folder import RunFolder
from puffer_phc.training.threads import intra_op_threads

_LOG_INTERVAL = 1.0  # s between rows of metrics: reading them waits for the device


class Trainer:
    """Trains one policy in one process.

    Attributes:
        policy: the network being trained.
        steps: samples so far.
        stopped_by: name of the signal that ended the run early, or empty.
    """

    def __init__(
        self, cfg: Config, env: HumanoidPHC, policy: ActorCritic, evaluator: Evaluator, folder: RunFolder
    ) -> None:
        self.cfg, self.env, self.policy, self.evaluator, self.folder = cfg, env, policy, evaluator, folder
        self.learner = Learner(cfg, env, policy)
        self.ppo, self.runner = self.learner.ppo, self.learner.runner
        self.steps = 0
        self.stopped_by = ""
        self._elapsed = 0.0  # seconds of training in earlier processes of this run
        self._seconds = {"rollout": 0.0, "update": 0.0, "eval": 0.0}
        self._best: tuple[float, float] | None = None  # success rate, minus error

    # -- the loop --------------------------------------------------------------------------------------------------

    def train(self, dashboard: Dashboard) -> None:
        """Run to the end, or until SIGINT or SIGTERM, and save; a second signal ends at once."""
        self._started = now = time.monotonic()
        next_log = next_eval = next_save = now
        train = self.cfg.train
        next_eval += train.eval_interval
        next_save += train.checkpoint_interval
        with self._stop_on_signal():
            while self.fraction() < 1.0 and not self.stopped_by:
                self.ppo.target_kl = train.target_kl * (1.0 + self.fraction() * (train.final_kl - 1.0))
                stats, losses = self.iterate()
                now = time.monotonic()
                if now >= next_log:
                    next_log = now + _LOG_INTERVAL
                    self._log(stats, losses, dashboard)
                if train.eval_interval and now >= next_eval:
                    self.evaluate(dashboard)
                    next_eval = time.monotonic() + train.eval_interval
                if now >= next_save:
                    self.save(checkpoint.LAST)
                    next_save = time.monotonic() + train.checkpoint_interval
            if not self.stopped_by:
                self.evaluate(dashboard)
            self.save(checkpoint.LAST)

    def iterate(self) -> tuple[RolloutStats, Tensor]:
        """One rollout and one update."""
        with self._timed("rollout"):
            stats = self.learner.collect()
        with self._timed("update"):
            losses = self.learner.learn()
        self.steps += self.learner.samples
        return stats, losses

    def fraction(self) -> float:
        """Share of the run that is done: the larger of samples and time."""
        train = self.cfg.train
        done = self.steps / train.total_steps
        if train.time_limit > 0:
            done = max(done, self.seconds() / train.time_limit)
        return min(1.0, done)

    def seconds(self) -> float:
        """Wall time of the run so far, earlier processes of it included."""
        return self._elapsed + time.monotonic() - self._started

    def evaluate(self, dashboard: Dashboard) -> None:
        """Evaluate all clips; the best policy so far is kept as ``best.pt``."""
        with self._timed("eval"), intra_op_threads(1):
            summary, _ = self.evaluator.run(self.learner.averaged)
        values = {f"eval/{key}": float(value) for key, value in summary.items() if isinstance(value, (int, float))}
        score = (summary["success_rate"], -summary["mpjpe_all"])
        if self._best is None or score > self._best:
            self._best = score
            self.save(checkpoint.BEST)
        values |= {"best/success_rate": self._best[0], "best/mpjpe_all": -self._best[1]}
        self.folder.log(self.steps, {"seconds": self.seconds(), **values})
        dashboard.show(self.fraction(), self.steps, values)

    # -- saving and going on -----------------------------------------------------------------------------------------

    def save(self, name: str) -> None:
        """Write the checkpoint ``name`` into the run folder."""
        checkpoint.save(self.folder.checkpoints / name, self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "config": to_dict(self.cfg),
            "robot": self.env.robot.name,
            "num_obs": self.env.num_obs,
            "num_actions": self.env.num_actions,
            "policy": self.learner.averaged.state_dict(),
            "latest_policy": self.policy.state_dict(),
            "optimizer": self.ppo.optimizer.state_dict(),
            "learning_rate": self.ppo.learning_rate,
            "updates": self.ppo.updates,
            "initial": self.ppo.initial,
            "steps": self.steps,
            "seconds": self.seconds(),
            "best": self._best,
            "sampler": self.env.sampler.failures,
            "generators": [generator.get_state() for generator in (self.env.generator, self.runner.generator)],
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from a checkpoint of this run; episodes in flight start anew."""
        self.policy.load_state_dict(data["latest_policy"])
        self.learner.averaged.load_state_dict(data["policy"])
        self.ppo.restore(data["optimizer"], data["learning_rate"], data["updates"], data["initial"])
        self.steps, self._elapsed = data["steps"], data["seconds"]
        self._best = tuple(data["best"]) if data["best"] else None
        failures = data["sampler"].to(self.env.device)
        if failures.shape == self.env.sampler.failures.shape:
            self.env.sampler.failures.copy_(failures)
        for generator, state in zip((self.env.generator, self.runner.generator), data["generators"], strict=True):
            generator.set_state(state)
        self.folder.truncate(self.steps)

    # -- measuring ---------------------------------------------------------------------------------------------------

    def _log(self, stats: RolloutStats, losses: Tensor, dashboard: Dashboard) -> None:
        horizon = self.cfg.train.horizon
        episodes = max(float(stats.episodes), 1.0)
        busy = max(sum(self._seconds.values()), 1e-9)
        values = {
            "seconds": self.seconds(),
            "episode/return": float(stats.returns) / episodes,
            "episode/length": float(stats.lengths) / episodes,
            "episode/success": float(stats.successes) / episodes,
            "reward/mean": float(stats.reward) / horizon,
            **{
                f"reward/{name}": value / horizon
                for name, value in zip((*TERM_NAMES, "power"), stats.reward_terms.tolist(), strict=True)
            },
            **{f"loss/{name}": value for name, value in zip(METRIC_NAMES, losses.tolist(), strict=True)},
            "loss/learning_rate": float(self.ppo.learning_rate),
            "simulation/divergences": float(self.env.divergences),
            "speed/steps_per_second": self.steps / max(self.seconds(), 1e-9),
            **{f"speed/{name}_share": seconds / busy for name, seconds in self._seconds.items()},
        }
        self.folder.log(self.steps, values)
        dashboard.show(self.fraction(), self.steps, values)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[part] += time.perf_counter() - start

    @contextmanager
    def _stop_on_signal(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM asks the loop to stop after this iteration, the second acts as usual."""
        old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped_by = signal.Signals(number).name
            for each, handler in old.items():
                signal.signal(each, handler)

        for number in old:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
