"""Plays policies that follow no reference, without noise: do they stay up, and does it look like the recordings?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.table import Table
from torch import Tensor

from gymtorch import CapturedFunction, capture, latch
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.evaluation.evaluator import Progress, Recording
from puffer_phc.evaluation.report import SUMMARY_FILE, json_safe, write_atomic
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.policies.discriminator import Discriminator, style_reward

_LUCK_APART = 1_000_003
Summary = dict[str, Any]


@dataclass(frozen=True)
class EpisodeResult:
    """One episode.

    Attributes:
        steps: control steps until it ended.
        fell: it ended before its time.
        task_reward: mean per step.
        style_logit, style_reward: means per step of what the discriminator says; None without one.
    """

    steps: int
    fell: bool
    task_reward: float
    style_logit: float | None = None
    style_reward: float | None = None


class StyleEvaluator:
    """One episode in every environment of its own, from starts and goals that are the same each time.

    Attributes:
        env: all of it is used.
        discriminator: judges the motion; None for no judgement.
    """

    def __init__(
        self, env: HumanoidPHC, steps: int, seed: int, captured: bool = True, reward_scale: float = 2.0
    ) -> None:
        """``steps`` is what an episode lasts, ``seed`` of starts and goals."""
        self.env, self.discriminator = env, None  # type: HumanoidPHC, Discriminator | None
        self._steps, self._seed, self._captured, self._scale = steps, seed, captured, reward_scale
        self._played: tuple[ActorCritic, Discriminator | None] | None = None  # what the recorded step uses
        self._step: CapturedFunction[None] | None = None
        self._state = torch.zeros(env.num_envs, 0, device=env.device)
        self._fresh = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
        self._running = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
        self._fell = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
        # Steps, task reward, logit, style reward of the first episode so far.
        self._sums = torch.zeros(4, env.num_envs, device=env.device)

    def run(self, policy: ActorCritic, progress: Progress | None = None) -> tuple[Summary, list[EpisodeResult]]:
        """Play one episode in every environment: summary and episodes."""
        results = self.play(policy, progress)
        return summarize_episodes(results), results

    @torch.no_grad()
    def play(self, policy: ActorCritic, progress: Progress | None = None, luck: int = 0) -> list[EpisodeResult]:
        """Play one episode in every environment, from the starts and goals of a number."""
        step_once = self._begin(policy, luck)
        for step in range(self._steps):
            step_once()
            if progress:
                progress(step + 1, self._steps)
        steps, *sums = self._sums
        columns = torch.stack([total / steps for total in sums], dim=1).tolist()
        judged = self.discriminator is not None
        return [
            EpisodeResult(int(length), bool(fell), row[0], *(row[1:] if judged else ()))
            for length, fell, row in zip(steps.tolist(), self._fell.tolist(), columns, strict=True)
        ]

    def warm_up(self, policy: ActorCritic) -> None:
        """Compile and record what evaluating ``policy`` needs."""
        self._begin(policy)

    @torch.no_grad()
    def _begin(self, policy: ActorCritic, luck: int = 0) -> CapturedFunction[None]:
        """Start all episodes; returns what plays one control step of ``policy``."""
        env = self.env
        if self._step is None or self._played != (policy, self.discriminator):
            env.reset()  # recording plays a few steps
            self._played, self._state = (policy, self.discriminator), policy.initial_state(env.num_envs)
            device = env.device if self._captured else "cpu"
            self._step = capture(self._control_step, device=device, generators=(env.generator,))
        env.generator.manual_seed(self._seed + _LUCK_APART * luck)
        for tensor in (self._state, self._sums, self._fell, env.terminated, env.truncated):
            tensor.zero_()
        self._running.fill_(True)
        env.reset()
        return self._step

    def _control_step(self) -> None:
        env, discriminator = self.env, self.discriminator
        assert self._played is not None
        action, state = self._played[0].act(env.obs, self._state, self._fresh)
        self._state = latch(self._state, state)
        env.step(action)
        rows = [torch.ones_like(env.reward), env.reward]
        if discriminator is not None and env.style is not None:
            logit = discriminator(discriminator.norm(env.style.observed))
            rows += [logit, style_reward(logit, self._scale)]
        self._sums[: len(rows)] += torch.stack(rows) * self._running
        self._fell |= self._running & env.terminated
        self._running &= ~env.done

    @torch.no_grad()
    def record(self, policy: ActorCritic, clip: int = 0, seconds: float = float("inf")) -> Recording:
        """Play the first environment's episode and keep what a video needs, with the reference where there is one.

        Args:
            policy: whose performance.
            clip: ignored, there is none to follow.
            seconds: how much of the episode, at most.
        """
        env, step_once = self.env, self._begin(policy)
        simulated, reference, errors = [env.simulator.qpos()[0]], [self._reference()], [0.0]
        name = env.task.term_names[0] if reference[0] is None else env.library.names[int(env.clip_ids[0])]
        for _ in range(max(1, int(min(seconds / env.control_dt, self._steps)))):
            step_once()
            if not bool(self._running[0]):  # the humanoid is in its next episode by now
                break
            simulated.append(env.simulator.qpos()[0])
            reference.append(self._reference())
            if (wanted := env.task.reference) is not None:
                errors.append(1e3 * float((env.simulator.bodies.pos[0] - wanted.pos[0]).norm(dim=-1).mean()))
        shown = [qpos for qpos in reference if qpos is not None]
        followed = torch.stack(shown) if shown else None
        success = not bool(self._fell[0])
        return Recording(name, torch.stack(simulated), followed, torch.tensor(errors if shown else []), success)

    def _reference(self) -> Tensor | None:
        """MuJoCo positions (nq,) of what the first environment should do now, or None."""
        scene = self.env.scene
        if self.env.task.reference is None:
            return None
        state = scene.state_at(scene.clip_ids[:1], scene.time()[:1])
        return scene.robot.qpos(state.root_pos, state.local_rot)[0].double().cpu()


def summarize_episodes(results: Sequence[EpisodeResult]) -> Summary:
    """Means over episodes; what was not judged is None."""

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    return {
        "episodes": len(results),
        "episode_steps": mean([float(result.steps) for result in results]),
        "fall_rate": mean([float(result.fell) for result in results]),
        "task_reward": mean([result.task_reward for result in results]),
        "test_return": mean([result.steps * result.task_reward for result in results]),
        "style_logit": mean([result.style_logit for result in results]),
        "style_reward": mean([result.style_reward for result in results]),
    }


def episode_score(summary: Summary) -> tuple[float, float]:
    """What makes one policy better than another: it stays up longer, then it is rewarded more."""
    reward = sum(float(summary[name] or 0.0) for name in ("task_reward", "style_reward"))
    return float(summary["episode_steps"] or 0.0), reward


def episode_table(summary: Summary) -> Table:
    """The summary for a terminal."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in summary.items():
        table.add_row(name.replace("_", " "), "" if value is None else f"{value:,.3f}".rstrip("0").rstrip("."))
    return table


def write_episodes(folder: Path, summary: Summary, results: Sequence[EpisodeResult], extra: Mapping[str, Any]) -> Path:
    """Write ``summary.json`` with the summary, all episodes and ``extra`` about the run; returns its path.

    Raises:
        InputError: it cannot be written.
    """
    document = json_safe({**summary, "results": [asdict(result) for result in results], "extra": extra})
    write_atomic(folder / SUMMARY_FILE, json.dumps(document, indent=2, allow_nan=False) + "\n")
    return folder / SUMMARY_FILE
