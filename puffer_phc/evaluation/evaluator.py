"""Plays every clip once, without noise, and measures how well it was followed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gymtorch import CapturedFunction, capture, latch
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.scene import TIME_SLACK
from puffer_phc.envs.terminations import tracking_lost
from puffer_phc.evaluation.measures import FrameMeasures
from puffer_phc.evaluation.metrics import ClipResult, clip_metrics, summarize
from puffer_phc.motions.contacts import feet_of
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.robots.state import BodyState

Progress = Callable[[int, int], None]
Protocol = Literal["full", "puffer"]
_Step = tuple[BodyState, BodyState, Tensor]
_FRAMES_AT_ONCE = 1 << 22  # of all clips played together: about 250 MB of measures
_ASK_EVERY = 32  # control steps
_CROP_SECONDS = 299 / 30  # from the first to the last of 300 frames


@dataclass(frozen=True)
class Recording:
    """One clip as played, for a video: MuJoCo positions (T, nq) of simulation and reference, error (T,) mm.

    Where nothing was followed the reference is None and the error empty.
    """

    name: str
    simulated: Tensor
    reference: Tensor | None
    error: Tensor
    success: bool


class Evaluator:
    """The evaluation protocol on an environment of its own.

    Every clip is played from its first frame for as many control steps as an episode of the environment that begins
    there: ``ceil(duration / dt - TIME_SLACK)``, at least one. It fails when the mean distance of the bodies of the set
    ``evaluation`` from their reference exceeds the limit, or the simulation diverges; frames up to there count. (PHC
    restarts a failed clip and goes on counting, which mixes two attempts.)

    Args:
        env: all of it is used.
        termination_distance: m.
        captured: record a control step on a GPU.
        protocol: ``full`` clips, or puffer-phc's crops of at most 300 frames at 30 Hz from a random start.
        seed: of those starts.
        categories: kind of motion of the clips, by name; others are ``all``.
    """

    def __init__(
        self,
        env: HumanoidPHC,
        termination_distance: float,
        captured: bool = True,
        protocol: Protocol = "full",
        seed: int = 0,
        categories: Mapping[str, str] | None = None,
    ) -> None:
        self.env, self.termination_distance = env, termination_distance
        self._captured, self._categories = captured, categories or {}
        self._start, self._length = _spans(env, protocol, seed)
        self._policy: ActorCritic | None = None  # the one that the recorded step plays
        self._step: CapturedFunction[_Step] | None = None
        self._measures: FrameMeasures | None = None
        self._state = torch.zeros(env.num_envs, 0, device=env.device)
        self._fresh = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
        self._judged = torch.tensor(env.robot.body_ids(env.robot.body_sets["evaluation"]), device=env.device)
        self._feet = len(feet_of(env.robot))

    def num_steps(self, clip: int) -> int:
        """Control steps that clip ``clip`` takes."""
        return max(1, math.ceil(float(self._length[clip]) / self.env.control_dt - TIME_SLACK))

    def run(self, policy: ActorCritic, progress: Progress | None = None) -> tuple[dict[str, Any], list[ClipResult]]:
        """Evaluate all clips of the library: summary (:func:`summarize`) and results in library order."""
        results = self.play(policy, range(self.env.library.num_clips), progress)
        return summarize(results), results

    def play(self, policy: ActorCritic, clips: Sequence[int], progress: Progress | None = None) -> list[ClipResult]:
        """Evaluate some clips of the library; results in their order."""
        results: dict[int, ClipResult] = {}
        for chunk in self._chunks(clips):
            results.update(zip(chunk, self._play_chunk(policy, chunk), strict=True))
            if progress:
                progress(len(results), len(clips))
        return [results[clip] for clip in clips]

    def _chunks(self, clips: Sequence[int]) -> Iterator[list[int]]:
        """Clips that are played together: of similar length, so that few wait, and not more than memory holds."""
        waiting = sorted(clips, key=self.num_steps)
        while waiting:
            frames = _FRAMES_AT_ONCE // self.num_steps(waiting[-1])
            count = max(1, min(self.env.num_envs, frames))
            yield waiting[-count:]
            del waiting[-count:]

    @torch.no_grad()
    def _play_chunk(self, policy: ActorCritic, clips: list[int]) -> list[ClipResult]:
        env = self.env
        steps = [self.num_steps(clip) for clip in clips]
        padded = clips + [clips[-1]] * (env.num_envs - len(clips))  # surplus environments repeat the last clip
        step_once = self._begin(policy, torch.tensor(padded, device=env.device))
        if self._measures is None:
            self._measures = FrameMeasures(env.robot, env.num_envs, env.control_dt, env.device)
        self._measures.begin()
        longest = max(steps)
        lost = torch.zeros(longest, env.num_envs, dtype=torch.bool, device=env.device)
        for step in range(longest):
            bodies, reference, missed = step_once()
            self._measures.add(bodies, reference)
            lost[step] = missed
            # Asking waits for a GPU: there, not often.
            if (env.device.type == "cpu" or step % _ASK_EVERY == 0) and bool(lost.any(dim=0).all()):
                break
        measures, failures = self._measures.result().numpy(), lost.T.cpu().numpy()
        return [self._result(clip, steps[row], failures[row], measures[row]) for row, clip in enumerate(clips)]

    def warm_up(self, policy: ActorCritic) -> None:
        """Compile and record what evaluating ``policy`` needs."""
        self._begin(policy, torch.zeros(self.env.num_envs, dtype=torch.long, device=self.env.device))

    @torch.no_grad()
    def _begin(self, policy: ActorCritic, clip_ids: Tensor) -> CapturedFunction[_Step]:
        """Put every environment on the start of its clip; returns what plays one control step of ``policy``."""
        env, start = self.env, self._start.to(self.env.device)[clip_ids]
        if self._step is None or self._policy is not policy:
            env.play_clips(clip_ids, start)  # recording plays a few steps
            self._policy, self._state = policy, policy.initial_state(env.num_envs)
            self._step = capture(self._control_step, device=env.device if self._captured else "cpu")
        self._state.zero_()
        env.play_clips(clip_ids, start)
        return self._step

    def _control_step(self) -> _Step:
        """Simulated and reference bodies after a step of the policy, and where it has lost its reference."""
        env, policy = self.env, self._policy
        assert policy is not None
        action, state = policy.act(env.obs, self._state, self._fresh)
        self._state = latch(self._state, state)
        bodies, reference = env.track(action)
        return bodies, reference, self._far(bodies.pos, reference.pos) | env.simulator.diverged

    def _far(self, body_pos: Tensor, ref_pos: Tensor) -> Tensor:
        body_pos, ref_pos = body_pos.index_select(1, self._judged), ref_pos.index_select(1, self._judged)
        return tracking_lost(body_pos, ref_pos, self.termination_distance, "mean")

    def _result(self, clip: int, steps: int, lost: np.ndarray, measures: np.ndarray) -> ClipResult:
        """The result of a clip that lost its reference where ``lost`` (T,), with measures (K, T) of all frames."""
        failed = np.flatnonzero(lost[:steps])
        success = not len(failed)
        played = steps if success else int(failed[0])  # the failing frame itself may be anything
        scored = measures[:, : max(played, 1)].astype(np.float64)
        name = self.env.library.names[clip]
        category = self._categories.get(name, "all")
        return ClipResult(name, steps, played, success, clip_metrics(scored, self._feet), category)

    def record(self, policy: ActorCritic, clip: int, seconds: float = math.inf) -> Recording:
        """Play clip ``clip`` and keep what a video needs; ends where tracking is lost.

        Args:
            policy: whose performance.
            clip: number in the library.
            seconds: how much of the clip, at most.
        """
        return self.record_all(policy, [clip], seconds)[0]

    def record_all(self, policy: ActorCritic, clips: Sequence[int], seconds: float = math.inf) -> list[Recording]:
        """:meth:`record` of several clips, as many at a time as there are environments."""
        size = self.env.num_envs
        groups = [list(clips[first : first + size]) for first in range(0, len(clips), size)]
        return [recording for group in groups for recording in self._record_group(policy, group, seconds)]

    @torch.no_grad()
    def _record_group(self, policy: ActorCritic, clips: list[int], seconds: float) -> list[Recording]:
        env, count = self.env, len(clips)
        limit = max(1, round(min(seconds / env.control_dt, 1e9)))
        steps = [min(self.num_steps(clip), limit) for clip in clips]
        ids = torch.tensor(clips + [clips[-1]] * (env.num_envs - count), device=env.device)
        step_once = self._begin(policy, ids)
        simulated, errors = [env.simulator.qpos()[:count]], [torch.zeros(count)]
        reference = [self._reference_qpos(clips, 0.0)]
        lost = torch.zeros(max(steps), count, dtype=torch.bool)
        for step in range(max(steps)):
            bodies, ref, missed = step_once()
            simulated.append(env.simulator.qpos()[:count])
            reference.append(self._reference_qpos(clips, (step + 1) * env.control_dt))
            errors.append(1e3 * (bodies.pos[:count] - ref.pos[:count]).norm(dim=-1).mean(dim=-1).cpu())
            lost[step] = missed[:count].cpu()
            if bool(lost.any(dim=0).all()):
                break
        stacked = [torch.stack(part, dim=1) for part in (simulated, reference, errors)]
        recordings = []
        for row, clip in enumerate(clips):
            failed = lost[: steps[row], row].nonzero()
            frames = (int(failed[0]) + 1 if len(failed) else steps[row]) + 1  # the start, and the failing frame
            own, other, error = (part[row, :frames] for part in stacked)
            recordings.append(Recording(env.library.names[clip], own, other, error, not len(failed)))
        return recordings

    def _reference_qpos(self, clips: list[int], time: float) -> Tensor:
        """MuJoCo positions (K, nq) of the clips' references, ``time`` s after their start."""
        library = self.env.library
        times = (self._start[clips] + time).to(library.device)
        state = library.state_at(torch.tensor(clips, device=library.device), times)
        return self.env.robot.qpos(state.root_pos, state.local_rot).double().cpu()


def _spans(env: HumanoidPHC, protocol: Protocol, seed: int) -> tuple[Tensor, Tensor]:
    """Where each clip of the library starts and how long it is played, (C,) s each."""
    duration = env.library.duration.cpu()
    if protocol == "full":
        return torch.zeros_like(duration), duration
    luck = torch.from_numpy(np.random.default_rng(seed).random(len(duration))).float()
    latest = (duration - _CROP_SECONDS).clamp_min(0.0)
    start = (luck * latest / env.control_dt).floor() * env.control_dt
    return start, torch.minimum(duration - start, torch.tensor(_CROP_SECONDS))
