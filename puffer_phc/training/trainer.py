"""The training loop: rollout, advantage, update, and all that surrounds them."""

from __future__ import annotations

import math
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from puffer_phc.config import Config, to_dict
from puffer_phc.envs.vec_env import HumanoidEnv, generators_of
from puffer_phc.evaluation.evaluator import Evaluator
from puffer_phc.evaluation.style_evaluator import StyleEvaluator
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.processor import intra_op_threads
from puffer_phc.training import checkpoint
from puffer_phc.training.amp import STYLE_METRICS
from puffer_phc.training.dashboard import Dashboard
from puffer_phc.training.distributed import World
from puffer_phc.training.filming import Filmer
from puffer_phc.training.judging import (
    Findings,
    Score,
    confirmed,
    evaluate_together,
    play_together,
    score_of,
    write_findings,
)
from puffer_phc.training.learner import Learner
from puffer_phc.training.ppo import METRIC_NAMES
from puffer_phc.training.rollout import RolloutStats
from puffer_phc.training.run_folder import RunFolder
from puffer_phc.training.timing import Stopwatch

if TYPE_CHECKING:
    from puffer_phc.game.setup import Game

_VIDEO_SECONDS = 5.0
_LOG_INTERVAL = 1.0  # s between rows of metrics: reading them waits for the device
_TRAIN_PER_EVAL = 10.0  # s of training at least for each second of evaluation
_LOST_CONTACTS = ("nefc", "broadphase", "narrowphase", "njmax_nnz")  # overflows that change the physics


@dataclass(frozen=True)
class Plan:
    """What all ranks do next.

    Attributes:
        fraction: share of the run that is done.
        log, evaluate, save: whether it is time to.
        signal: number of the signal that asked any rank to stop, or 0.
    """

    fraction: float
    log: bool
    evaluate: bool
    save: bool
    signal: int

    @property
    def go_on(self) -> bool:
        """Whether there is an iteration to do."""
        return self.fraction < 1.0 and not self.signal


class Trainer:
    """Trains one policy, alone or as one rank of several.

    Attributes:
        policy: the network being trained.
        tested: the policy to evaluate and keep; it is the learner's running mean, or acts with it.
        steps: samples so far, of all ranks.
        chancy: whether two evaluations of one policy may differ; a GPU's simulation is not deterministic.
        stopped_by: name of the signal that ended the run early, or empty.
    """

    def __init__(
        self,
        cfg: Config,
        env: HumanoidEnv,
        policy: ActorCritic,
        evaluator: Evaluator | StyleEvaluator,
        folder: RunFolder | None,
        world: World | None = None,
        game: Game | None = None,
    ) -> None:
        """``folder`` is rank 0's; the others write nothing. With ``game`` the policy is one of its agents."""
        self.cfg, self.env, self.policy, self.evaluator, self.folder = cfg, env, policy, evaluator, folder
        self.world = world or World()
        self.learner = game.make_learner(cfg, self.world) if game else Learner(cfg, env, policy, self.world)
        self.tested = game.tested(self.learner.averaged) if game else self.learner.averaged
        self._game = game.saved if game else None
        self.ppo, self.runner = self.learner.ppo, self.learner.runner
        if isinstance(evaluator, StyleEvaluator) and self.learner.style:
            evaluator.discriminator = self.learner.style.discriminator
        self.steps = 0
        self.chancy = env.device.type != "cpu"
        self._signal = 0
        self._elapsed = 0.0  # seconds of training in earlier processes of this run
        self._started = time.monotonic()
        self._due = dict.fromkeys(("log", "evaluate", "save"), math.inf)
        self._stopwatch = Stopwatch(env.device)
        self._best: Score | None = None
        self._overflow: Counter[str] = Counter()
        self._filmer, self._filmed_clip = self._camera()
        self._next_video = cfg.eval.video_interval

    @property
    def stopped_by(self) -> str:
        """Name of the signal that ended the run early, or empty."""
        return signal.Signals(self._signal).name if self._signal else ""

    def _camera(self) -> tuple[Filmer | None, int]:
        """What films the policy during training, if it is to, and the clip that is filmed."""
        cfg, names = self.cfg, self.evaluator.env.library.names
        wanted = isinstance(self.evaluator, Evaluator) and cfg.eval.video and cfg.eval.video_interval > 0
        if not wanted or self.folder is None:
            return None, 0
        clip = names.index(cfg.eval.video_clip) if cfg.eval.video_clip in names else 0
        return Filmer(self.folder.path / "videos", self.env.robot, cfg.robot.control_dt, cfg.play.layout), clip

    # -- the loop --------------------------------------------------------------------------------------------------

    def train(self, dashboard: Dashboard) -> None:
        """Run to the end, or until SIGINT or SIGTERM, and save; a second signal ends at once."""
        train = self.cfg.train
        with self._stop_on_signal():
            setup = self._warm_up(dashboard)
            self._started = now = time.monotonic()
            plan = self._plan()
            self._due = {
                "log": now,  # the first iteration always is
                "evaluate": now + train.eval_interval if train.eval_interval else math.inf,
                "save": now + train.checkpoint_interval,
            }
            while plan.go_on:
                self.ppo.target_kl = train.target_kl * (1.0 + plan.fraction * (train.final_kl - 1.0))
                stats, losses = self.iterate()
                plan = self._plan()
                if plan.log:
                    self._log(stats, losses, plan, setup, dashboard)
                if plan.evaluate:
                    self.evaluate(plan.fraction, dashboard)
                if plan.save:
                    self.save(checkpoint.LAST)
                self._film()
            self._signal = plan.signal
            if not self._signal:
                self.evaluate(plan.fraction, dashboard)
            self.save(checkpoint.LAST)
            if self._filmer and self.folder:
                for path in self._filmer.close():
                    self.folder.log_video(self.steps, path)

    def _warm_up(self, dashboard: Dashboard) -> float:
        """Compile what the run needs before its clock starts; seconds that took."""
        if self.env.device.type == "cpu":
            return 0.0  # nothing is compiled there
        start = time.monotonic()
        dashboard.say("compiling (about two minutes the first time on a machine, later half a minute) ...")
        self.learner.warm_up()
        self.evaluator.warm_up(self.tested)
        torch.cuda.synchronize(self.env.device)
        return time.monotonic() - start

    def iterate(self) -> tuple[RolloutStats, Tensor]:
        """One rollout and one update."""
        with self._stopwatch.time("rollout"):
            stats = self.learner.collect()
        with self._stopwatch.time("update"):
            losses = self.learner.learn()
        self.steps += self.learner.samples
        return stats, losses

    def _plan(self) -> Plan:
        """What rank 0's clock says, and whether anyone was asked to stop; the same for all ranks."""
        now = time.monotonic()
        own = [0.0, 0.0, 0.0, 0.0]
        if self.world.first:
            own = [self.fraction(), *(float(now >= self._due[name]) for name in ("log", "evaluate", "save"))]
        fraction, log, evaluate, save, number = self.world.largest([*own, float(self._signal)])
        if log:
            self._due["log"] = now + _LOG_INTERVAL
        if save:
            self._due["save"] = now + self.cfg.train.checkpoint_interval
        return Plan(fraction, bool(log), bool(evaluate), bool(save), int(number))

    def fraction(self) -> float:
        """Share of the run that is done: the larger of samples and time."""
        train = self.cfg.train
        done = self.steps / train.total_steps
        if train.time_limit > 0:
            done = max(done, self.seconds() / train.time_limit)
        return min(1.0, done)

    def seconds(self) -> float:
        """Wall time of training so far, earlier processes of the run included, compilation left out."""
        return self._elapsed + time.monotonic() - self._started

    def evaluate(self, fraction: float, dashboard: Dashboard) -> None:
        """Evaluate all clips; the best policy so far is kept as ``best.pt``, what it did in ``eval/``."""
        start = time.monotonic()
        by_return = self.cfg.env.task == "deepmimic"
        with self._stopwatch.time("eval"), intra_op_threads(1):
            findings = self._evaluate()
            summary = findings[0]
            score = score_of(summary, by_return)
            if self.chancy:  # all ranks have the same scores, so that all of them evaluate again or none
                score = confirmed(score, self._best, lambda: score_of(self._evaluate()[0], by_return))
        now = time.monotonic()
        self._due["evaluate"] = now + max(self.cfg.train.eval_interval, _TRAIN_PER_EVAL * (now - start))
        values = {f"eval/{key}": float(value) for key, value in summary.items() if isinstance(value, (int, float))}
        if self._best is None or score > self._best:
            self._best = score
            self.save(checkpoint.BEST)
            if self.folder:
                source = self.cfg.eval.motion_file or self.cfg.env.motion_file
                write_findings(self.folder.path / "eval", findings, {"steps": self.steps}, source)
        if by_return:
            values |= {"best/test_return": self._best[0]}
        elif isinstance(self.evaluator, StyleEvaluator):
            values |= {"best/episode_steps": self._best[0], "best/reward": self._best[1]}
        else:
            values |= {"best/success_rate": self._best[0], "best/mpjpe_all": -self._best[1]}
        if self.folder:
            self.folder.log(self.steps, {"seconds": self.seconds(), **values})
        dashboard.show(fraction, self.steps, values)

    def _evaluate(self) -> Findings:
        policy, world = self.tested, self.world
        if isinstance(self.evaluator, StyleEvaluator):
            return play_together(self.evaluator, policy, world)
        sharded = self.cfg.env.shard and self.evaluator.env.library is self.env.library
        return evaluate_together(self.evaluator, policy, sharded, world)

    def _film(self) -> None:
        """Every ``eval.video_interval`` s record some seconds of a clip, and let another process draw them."""
        if self._filmer is None or not self.folder or self.seconds() < self._next_video:
            return
        if self._filmer.busy:
            return
        for path in self._filmer.finished():
            self.folder.log_video(self.steps, path)
        self._next_video = self.seconds() + self.cfg.eval.video_interval
        recording = self.evaluator.record(self.tested, self._filmed_clip, seconds=_VIDEO_SECONDS)
        self._filmer.start(recording, self.steps)

    # -- saving and going on -----------------------------------------------------------------------------------------

    def save(self, name: str) -> None:
        """Write the checkpoint ``name`` into the run folder; all ranks take part."""
        state = self._state()
        if self.folder:
            checkpoint.save(self.folder.checkpoints / name, state)

    def _state(self) -> dict[str, Any]:
        generators = [generator.get_state() for generator in (*generators_of(self.env), self.runner.generator)]
        return {
            "config": to_dict(self.cfg),
            "robot": self.env.robot.name,
            "num_obs": self.env.num_obs,
            "num_actions": self.tested.num_actions,
            "policy": self.tested.state_dict(),
            "game": self._game,
            "latest_policy": self.policy.state_dict(),
            "optimizer": self.ppo.optimizer.state_dict(),
            "learning_rate": self.ppo.learning_rate,
            "updates": self.ppo.updates,
            "initial": self.ppo.initial,
            "style": self.learner.style.state_dict() if self.learner.style else None,
            "steps": self.steps,
            "seconds": self.seconds(),
            "best": self._best,
            "ranks": self.world.gather({"sampler": self.env.sampler.failures.cpu(), "generators": generators}),
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from a checkpoint of this run; episodes in flight start anew, and so does the luck of new ranks."""
        self.policy.load_state_dict(data["latest_policy"])
        self.tested.load_state_dict(data["policy"])
        self.ppo.restore(data["optimizer"], data["learning_rate"], data["updates"], data["initial"])
        if self.learner.style and data.get("style"):
            self.learner.style.load_state_dict(data["style"])
        self.steps, self._elapsed = data["steps"], data["seconds"]
        self._best = tuple(data["best"]) if data["best"] else None
        saved = data["ranks"]
        failures = saved[self.world.rank % len(saved)]["sampler"].to(self.env.device)
        if failures.shape == self.env.sampler.failures.shape:
            self.env.sampler.failures.copy_(failures)
        if self.world.rank < len(saved):
            generators = (*generators_of(self.env), self.runner.generator)
            for generator, state in zip(generators, saved[self.world.rank]["generators"], strict=True):
                generator.set_state(state)
        if self.folder:
            self.folder.truncate(self.steps)

    # -- measuring ---------------------------------------------------------------------------------------------------

    def _log(self, stats: RolloutStats, losses: Tensor, plan: Plan, setup: float, dashboard: Dashboard) -> None:
        overflow = self._count_overflow(dashboard)
        divergences = self.env.divergences.clone()
        self.world.sum_([*stats.tensors(), divergences])
        if not self.folder:
            return
        horizon = self.cfg.train.horizon * self.world.size  # means over ranks are summed
        episodes = max(float(stats.episodes), 1.0)
        spent = self._stopwatch.seconds()
        busy = max(sum(spent.values()), 1e-9)
        values = {
            "seconds": self.seconds(),
            "episode/return": float(stats.returns) / episodes,
            "episode/length": float(stats.lengths) / episodes,
            "episode/success": float(stats.successes) / episodes,
            "reward/mean": float(stats.reward) / horizon,
            **{
                f"reward/{name}": value / horizon
                for name, value in zip(self.env.task.term_names, stats.reward_terms.tolist(), strict=True)
            },
            **{f"loss/{name}": value for name, value in zip(METRIC_NAMES, losses.tolist(), strict=True)},
            "loss/learning_rate": float(self.ppo.learning_rate),
            **(self._style_metrics() if self.learner.style else {}),
            **self.learner.more_metrics(),
            "simulation/divergences": float(divergences),
            **{f"simulation/overflow_{kind}": float(count) for kind, count in overflow.items()},
            "speed/steps_per_second": self.steps / max(self.seconds(), 1e-9),
            "speed/setup_seconds": setup,
            **{f"speed/{name}_share": seconds / busy for name, seconds in spent.items()},
            **memory_use(self.env.device),
        }
        self.folder.log(self.steps, values)
        dashboard.show(plan.fraction, self.steps, values)

    def _style_metrics(self) -> dict[str, float]:
        metrics = self.learner.style_metrics.tolist()
        return {f"style/{name}": value for name, value in zip(STYLE_METRICS, metrics, strict=True)}

    def _count_overflow(self, dashboard: Dashboard) -> Counter[str]:
        """Humanoids that outgrew the engine's arrays so far, of all ranks; says so once when contacts were lost."""
        lost_before = any(self._overflow[kind] for kind in _LOST_CONTACTS)
        for found in self.world.gather(self.env.simulator.read_overflow()):
            self._overflow.update(found)
        lost = {kind: self._overflow[kind] for kind in _LOST_CONTACTS if self._overflow[kind]}
        if lost and not lost_before:
            kinds = ", ".join(f"{kind} {count}" for kind, count in lost.items())
            dashboard.say(f"some humanoids lost contacts ({kinds}): raise --robot.max_rows or --robot.max_contacts")
        return self._overflow

    @contextmanager
    def _stop_on_signal(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM asks the loop to stop after this iteration, the second acts as usual."""
        old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def stop(number: int, frame: FrameType | None) -> None:
            self._signal = number
            for each, handler in old.items():
                signal.signal(each, handler)

        for number in old:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def memory_use(device: torch.device) -> dict[str, float]:
    """GiB of a GPU that are in use, by this process or others."""
    if device.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(device)
    return {"speed/gpu_memory_gib": (total - free) / 2**30}
