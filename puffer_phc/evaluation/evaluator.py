"""Plays every clip once, without noise, and measures how well it was followed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gymtorch import CapturedFunction, capture, latch
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.scene import TIME_SLACK
from puffer_phc.envs.terminations import tracking_lost
from puffer_phc.evaluation.metrics import ClipResult, rotation_error, summarize, tracking_metrics
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.robots.state import BodyState

Progress = Callable[[int, int], None]
_Step = tuple[BodyState, BodyState, Tensor]
_FRAMES_AT_ONCE = 1 << 20  # of all clips played together: about 1.4 GB
_ASK_EVERY = 32  # control steps


@dataclass(frozen=True)
class Recording:
    """One clip as played, for a video: MuJoCo positions (T, nq) of simulation and reference, error (T,) mm."""

    name: str
    simulated: Tensor
    reference: Tensor
    error: Tensor
    success: bool


class Evaluator:
    """The evaluation protocol on an environment of its own.

    Every clip is played from its first frame for as many control steps as an episode of the environment that begins
    there: ``ceil(duration / dt - TIME_SLACK)``, at least one. It fails when the mean distance of the bodies of the set
    ``evaluation`` from their reference exceeds the limit, or the simulation diverges; frames up to there count. (PHC
    restarts a failed clip and goes on counting, which mixes two attempts.)
    """

    def __init__(self, env: HumanoidPHC, termination_distance: float, captured: bool = True) -> None:
        self.env, self.termination_distance = env, termination_distance
        self._captured = captured
        self._policy: ActorCritic | None = None  # the one that the recorded step plays
        self._step: CapturedFunction[_Step] | None = None
        self._state = torch.zeros(env.num_envs, 0, device=env.device)
        self._fresh = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
        self._judged = torch.tensor(env.robot.body_ids(env.robot.body_sets["evaluation"]), device=env.device)

    def num_steps(self, clip: int) -> int:
        """Control steps that clip ``clip`` takes."""
        duration = float(self.env.library.duration[clip])
        return max(1, math.ceil(duration / self.env.control_dt - TIME_SLACK))

    def run(self, policy: ActorCritic, progress: Progress | None = None) -> tuple[dict[str, Any], list[ClipResult]]:
        """Evaluate all clips of the library: summary (``spec/phc.md`` 1.14) and results in library order."""
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
        count, longest = len(clips), max(steps)
        shape = (longest, count, env.robot.num_bodies)
        pred_pos, ref_pos = (torch.zeros(*shape, 3, device=env.device) for _ in range(2))
        pred_rot, ref_rot = (torch.zeros(*shape, 4, device=env.device) for _ in range(2))
        lost = torch.zeros(longest, count, dtype=torch.bool, device=env.device)
        for step in range(longest):
            bodies, reference, missed = step_once()
            for buffer, value in (
                (pred_pos, bodies.pos),
                (ref_pos, reference.pos),
                (pred_rot, bodies.rot),
                (ref_rot, reference.rot),
            ):
                buffer[step] = value[:count]
            lost[step] = missed[:count]
            # Asking waits for a GPU: there, not often.
            if (env.device.type == "cpu" or step % _ASK_EVERY == 0) and bool(lost.any(dim=0).all()):
                break
        lost, pred_pos, ref_pos, pred_rot, ref_rot = (t.cpu() for t in (lost, pred_pos, ref_pos, pred_rot, ref_rot))
        return [
            self._result(
                clip, steps[row], lost[:, row], pred_pos[:, row], ref_pos[:, row], pred_rot[:, row], ref_rot[:, row]
            )
            for row, clip in enumerate(clips)
        ]

    def warm_up(self, policy: ActorCritic) -> None:
        """Compile and record what evaluating ``policy`` needs."""
        self._begin(policy, torch.zeros(self.env.num_envs, dtype=torch.long, device=self.env.device))

    @torch.no_grad()
    def _begin(self, policy: ActorCritic, clip_ids: Tensor) -> CapturedFunction[_Step]:
        """Put every environment on the start of its clip; returns what plays one control step of ``policy``."""
        env = self.env
        if self._step is None or self._policy is not policy:
            env.play_clips(clip_ids)  # recording plays a few steps
            self._policy, self._state = policy, policy.initial_state(env.num_envs)
            self._step = capture(self._control_step, device=env.device if self._captured else "cpu")
        self._state.zero_()
        env.play_clips(clip_ids)
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

    def _result(
        self, clip: int, steps: int, lost: Tensor, pred_pos: Tensor, ref_pos: Tensor, pred_rot: Tensor, ref_rot: Tensor
    ) -> ClipResult:
        failed = lost[:steps].nonzero()
        success = not len(failed)
        played = steps if success else int(failed[0])  # the failing frame itself may be anything
        frames = slice(0, max(played, 1))
        metrics = tracking_metrics(pred_pos[frames].nan_to_num(), ref_pos[frames])
        metrics["rot_error"] = rotation_error(pred_rot[frames].nan_to_num(), ref_rot[frames])
        return ClipResult(self.env.library.names[clip], steps, played, success, metrics)

    @torch.no_grad()
    def record(self, policy: ActorCritic, clip: int) -> Recording:
        """Play clip ``clip`` in the first environment and keep what a video needs; stops when tracking is lost."""
        env = self.env
        steps = self.num_steps(clip)
        ids = torch.full((env.num_envs,), clip, device=env.device)
        step_once = self._begin(policy, ids)
        simulated, reference, errors = [env.simulator.qpos()[0]], [self._reference_qpos(clip, 0.0)], [0.0]
        success = True
        for step in range(1, steps + 1):
            bodies, ref, missed = step_once()
            simulated.append(env.simulator.qpos()[0])
            reference.append(self._reference_qpos(clip, step * env.control_dt))
            errors.append(1e3 * float((bodies.pos[0] - ref.pos[0]).norm(dim=-1).mean()))
            if bool(missed[0]):
                success = False
                break
        return Recording(
            env.library.names[clip], torch.stack(simulated), torch.stack(reference), torch.tensor(errors), success
        )

    def _reference_qpos(self, clip: int, time: float) -> Tensor:
        library = self.env.library
        state = library.state_at(
            torch.tensor([clip], device=library.device), torch.tensor([time], device=library.device)
        )
        return self.env.robot.qpos(state.root_pos, state.local_rot)[0].double().cpu()
