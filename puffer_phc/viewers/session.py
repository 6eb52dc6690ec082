"""A policy at play, to be steered by a person: clips, pushes, and a way back in time. Knows nothing of windows."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass

import torch
from torch import Tensor

from poselib.rotations import quat_conj, quat_mul
from poselib.skeleton import Skeleton
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.scene import TIME_SLACK
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.robots.state import BodyState, MotionState, write_rows

_KEPT = 18_000  # humanoid-moments of 6 kB that can be gone back to: ten minutes of one humanoid
_PLOTTED = 300  # control steps


@dataclass(frozen=True)
class Moment:
    """N humanoids at one control step.

    Attributes:
        state: where they are and how they move.
        progress: (N,) control steps since the start of each one's clip.
        memory: (N, S) recurrent state of the policy.
        error: (N,) m, mean distance of the bodies from the reference; NaN without one.
        reward: (N,) of the step that led here; NaN where none did.
    """

    state: MotionState
    progress: Tensor
    memory: Tensor
    error: Tensor
    reward: Tensor


class PlaySession:
    """N humanoids under one policy, the first on a chosen clip and each other on the clip after its neighbour's.

    A clip that is over, and a simulation that diverged, starts again. What was played is kept by its time in the first
    humanoid's clip, so :meth:`seek` shows the past as it was, and the future, unless an earlier round through the clip
    reached it, as the reference. :meth:`step` and :meth:`push` go on from the moment shown.

    Attributes:
        env: what is played in; nobody else may step it meanwhile.
        policy: what acts; see :meth:`use`.
        clip: index of the first humanoid's clip.
        shown: the moment to draw.
        trace: (error, reward) of the first humanoid in the latest control steps.
    """

    def __init__(self, env: HumanoidPHC, policy: ActorCritic, clip: int = 0) -> None:
        self.env, self.policy = env, policy
        self.trace: deque[tuple[float, float]] = deque(maxlen=_PLOTTED)
        self._everyone = torch.arange(env.num_envs, device=env.device)
        self._fresh = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
        self._kept: OrderedDict[int, Moment] = OrderedDict()
        self._furthest = 0
        self._obs, self._memory = env.obs, self._no_memory()
        self.choose(clip)

    # -- what is played --------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The clips."""
        return self.env.library.names

    @property
    def last_step(self) -> int:
        """Control steps to the end of the first humanoid's clip, or as far as was played where it went on."""
        duration = float(self.env.library.duration[self.clip])
        return max(1, math.ceil(duration / self.env.control_dt - TIME_SLACK), self._furthest)

    @property
    def now(self) -> int:
        """Control steps since the start of the first humanoid's clip, at the moment shown."""
        return int(self.shown.progress[0])

    def choose(self, clip: int) -> None:
        """Put the first humanoid on the start of clip ``clip``, counted round, and the others on those after it."""
        self.clip = clip % self.env.library.num_clips
        clips = (self.clip + self._everyone) % self.env.library.num_clips
        write_rows(self.env.clip_ids, self._everyone, clips)
        self._forget()
        self.restart()

    def restart(self) -> None:
        """Put every humanoid on the start of its clip; the past is kept."""
        self.trace.clear()
        self._show(self._on_reference(0))

    def use(self, policy: ActorCritic) -> None:
        """Let another policy of the same robot act from the moment shown on."""
        self.policy = policy
        moment = self.shown
        self._forget()  # memories of another network mean nothing to this one
        self._show(Moment(moment.state, moment.progress, self._no_memory(), moment.error, moment.reward))

    def reference(self) -> MotionState | None:
        """The reference at the moment shown; None when the task has none."""
        env = self.env
        if env.task.reference is None:
            return None
        return env.scene.state_at(env.clip_ids, self.shown.progress * env.control_dt)

    # -- time ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self) -> Moment:
        """One control step on from the moment shown; returns the new one."""
        env = self.env
        self._go_on()
        action, memory = self.policy.act(self._obs, self._memory, self._fresh)
        self._memory = memory.clone()
        env.simulator.step(env.actions(action))
        env.progress.add_(1)
        if env.style is not None:
            env.style.advance()
        reward = torch.where(env.simulator.diverged, torch.nan, env.task.score()[0])
        diverged = env.simulator.diverged.clone()
        over = env.task.finished() | diverged
        moment = self._present(reward)
        self._begin_again(over.nonzero().squeeze(1))
        self._obs = env.task.observe().clone()
        if not bool(diverged[0]):
            self._keep(moment)
        self.trace.append((float(moment.error[0]), float(moment.reward[0])))
        self.shown, self._live = (self._present(reward) if bool(over.any()) else moment), True
        return self.shown

    def seek(self, step: int) -> None:
        """Show control step ``step`` of the first humanoid's clip: as it was played, else as it should be."""
        step = min(max(step, 0), self.last_step)
        self._show(self._kept.get(step) or self._on_reference(step))

    def push(self, velocity: Tensor) -> None:
        """Add a velocity (3,) m / s to every humanoid at the moment shown."""
        self._go_on()
        pushed = velocity.to(self.env.device, torch.float32).expand(self.env.num_envs, 3)
        self.env.simulator.push(pushed)
        self._obs = self.env.task.observe().clone()

    # -- parts -----------------------------------------------------------------------------------------------------

    def _show(self, moment: Moment) -> None:
        self.shown, self._live = moment, False

    def _go_on(self) -> None:
        """Bring simulator and task to the moment shown, unless they are there."""
        if self._live:
            return
        env, moment = self.env, self.shown
        env.start_time.zero_()
        env.progress.copy_(moment.progress)
        env.simulator.reset(self._everyone, moment.state)
        self._restarted(self._everyone)
        self._memory = moment.memory.clone()
        self._obs = env.task.observe().clone()
        self._live = True
        self._keep(moment)

    def _begin_again(self, which: Tensor) -> None:
        """Put the humanoids ``which`` (K,) on the starts of their clips."""
        if not len(which):
            return
        env = self.env
        env.progress[which] = 0
        clips = env.clip_ids[which]
        env.simulator.reset(which, env.library.state_at(clips, torch.zeros(len(which), device=env.device)))
        self._memory[which] = 0.0
        self._restarted(which)

    def _restarted(self, which: Tensor) -> None:
        env = self.env
        if env.style is not None:
            env.style.restart(which, None)
        env.task.restarted(which, torch.rand(env.task.num_draws, env.num_envs, device=env.device))

    def _keep(self, moment: Moment) -> None:
        step = int(moment.progress[0])
        self._furthest = max(self._furthest, step)
        self._kept[step] = moment
        self._kept.move_to_end(step)
        if len(self._kept) > max(1, _KEPT // self.env.num_envs):
            self._kept.popitem(last=False)

    def _forget(self) -> None:
        self._kept.clear()
        self._furthest = 0

    def _present(self, reward: Tensor) -> Moment:
        """What the simulator is at now."""
        env, bodies = self.env, self.env.simulator.bodies
        local_rot = local_rotations(bodies.rot, env.robot.skeleton)
        pos, rot, vel, ang_vel = (tensor.clone() for tensor in bodies)
        state = MotionState(pos, rot, vel, ang_vel, local_rot, env.simulator.dof_vel.clone())
        error = self._error(bodies, env.progress)
        return Moment(state, env.progress.clone(), self._memory.clone(), error, reward.clone())

    def _error(self, bodies: BodyState, progress: Tensor) -> Tensor:
        env = self.env
        if env.task.reference is None:
            return torch.full((env.num_envs,), torch.nan, device=env.device)
        reference = env.scene.bodies_at(env.clip_ids, progress * env.control_dt)
        return (bodies.pos - reference.pos).norm(dim=-1).mean(dim=-1)

    def _on_reference(self, step: int) -> Moment:
        """Every humanoid on its reference when the first is at ``step``; shorter clips have begun again meanwhile."""
        env = self.env
        lengths = (env.library.duration[env.clip_ids] / env.control_dt - TIME_SLACK).ceil().long().clamp_min(1)
        progress = torch.where(self._everyone == 0, step, step % lengths)
        state = env.scene.state_at(env.clip_ids, progress * env.control_dt)
        nothing = torch.full((env.num_envs,), torch.nan, device=env.device)
        error = nothing if env.task.reference is None else torch.zeros_like(nothing)
        return Moment(state, progress, self._no_memory(), error, nothing)

    def _no_memory(self) -> Tensor:
        return self.policy.initial_state(self.env.num_envs)


def local_rotations(rot: Tensor, skeleton: Skeleton) -> Tensor:
    """Rotations (N, B, 4) in the parents' frames, the root's in the world, of world rotations (N, B, 4)."""
    parents = torch.tensor([max(parent, 0) for parent in skeleton.parents], device=rot.device)
    local = quat_mul(quat_conj(rot.index_select(1, parents)), rot)
    return torch.cat((rot[:, :1], local[:, 1:]), dim=1)


class Pacer:
    """How many control steps are due, so that ``speed`` seconds are simulated per second; lag is not made up for."""

    def __init__(self, control_dt: float, most: int = 8) -> None:
        """Args: control_dt: s of a control step; most: steps to be done at once before time is let go."""
        self._control_dt, self._most, self._owed = control_dt, most, 0.0

    def due(self, elapsed: float, speed: float) -> int:
        """Steps to do when ``elapsed`` s have passed since the last call."""
        self._owed += elapsed * speed / self._control_dt
        steps = int(self._owed)
        self._owed -= steps
        return min(steps, self._most)
