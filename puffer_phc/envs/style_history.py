"""The latest moments of every humanoid, as a discriminator of motions sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from gymtorch import latch, listed
from puffer_phc.envs.scene import Scene
from puffer_phc.envs.style import style_features, style_tables, world_features
from puffer_phc.robots.state import BodyState, write_rows


class StyleHistory:
    """K control steps of motion for each humanoid, the present one first.

    With ``paired`` a step is told by how the reference of that moment differs from the humanoid (ADD) instead of by the
    humanoid's own motion (AMP).

    Attributes:
        scene: the humanoids.
        size: K F, numbers of an observation.
        step_size: F.
        reach: s between the oldest and the present step.
        observed: (N, K F) what the last control step led to, before any humanoid was placed anew.
    """

    def __init__(self, scene: Scene, steps: int, local_root: bool, paired: bool = False) -> None:
        """Keep ``steps`` steps.

        Raises:
            ValueError: several steps of differences; ADD judges single ones.
            InputError: the robot names no key bodies.
        """
        if paired and steps != 1:
            raise ValueError(f"differences from a reference are judged one step at a time, not {steps}")
        self.scene, self._steps, self._paired = scene, steps, paired
        self.tables = style_tables(scene.robot, scene.device, local_root)
        self.step_size = self.tables.difference_size if paired else self.tables.size
        self.size, self.reach = steps * self.step_size, (steps - 1) * scene.control_dt
        self._history = torch.zeros(scene.num_envs, steps, self.step_size, device=scene.device)
        self.observed = torch.zeros(scene.num_envs, self.size, device=scene.device)

    @property
    def now(self) -> Tensor:
        """(N, F) the present step."""
        return self._history[:, 0]

    def advance(self) -> None:
        """Take the state that a control step led to."""
        scene = self.scene
        now = self._features(scene.bodies, scene.simulator.dof_vel, scene.clip_ids, scene.time())
        # A simulation that diverged may be in any state at all; such a humanoid seems to stand still instead.
        now = torch.where(scene.simulator.diverged[:, None], self.now, now)
        self._history = latch(self._history, torch.cat((now[:, None], self._history[:, :-1]), dim=1))
        self.observed = latch(self.observed, self._history.flatten(1).clone())

    def restart(self, which: Tensor, from_clip: Tensor | None = None, room: int = 0) -> None:
        """Fill the past of humanoids that have just been placed.

        Args:
            which: (N,) bool mask or (K,) int64 list.
            from_clip: bool, for each of ``which`` (a mask: for all N): placed on a moment of its clip, whose past
                becomes its own; the others have always been where they are. None for all.
            room: of a mask, only so many, the first by number, get their clip's past, which is dear to look up; more
                than that have always been where they are. 0 for all.
        """
        scene = self.scene
        bodies, dof_vel, clip_ids, time = scene.bodies, scene.simulator.dof_vel, scene.clip_ids, scene.time()
        if which.dtype != torch.bool:
            bodies, dof_vel, clip_ids, time = bodies.rows(which), dof_vel[which], clip_ids[which], time[which]
        now = self._features(bodies, dof_vel, clip_ids, time)[:, None]
        still = now.expand(-1, self._steps, -1)
        if self._steps == 1 or 0 < room < len(which):
            write_rows(self._history, which, still)
            if self._steps == 1:
                return
            # What fills the list up repeats its first humanoid; if nobody begins anew, rows stay as they are.
            few, valid = listed(which, room)
            if not len(few):  # only where lists are as long as they need be
                return
            few = torch.where(valid, few, few[:1])
            wanted = valid.any() if from_clip is None else valid.any() & from_clip[few][:, None, None]
            past = torch.where(wanted, self._recorded(clip_ids[few], time[few], first=1), self._history[few, 1:])
            self._history.index_copy_(0, few, torch.cat((self._history[few, :1], past), dim=1))
            return
        past = self._recorded(clip_ids, time, first=1)
        if from_clip is not None:
            past = torch.where(from_clip[:, None, None], past, still[:, 1:])
        write_rows(self._history, which, torch.cat((now, past), dim=1))

    def recorded(self, clip_ids: Tensor, times: Tensor) -> Tensor:
        """Observations (M, K F) of the recordings themselves, at ``times`` (M,) s of clips ``clip_ids`` (M,)."""
        return self._recorded(clip_ids, times, first=0).flatten(1)

    def _recorded(self, clip_ids: Tensor, times: Tensor, first: int) -> Tensor:
        """(M, K - first, F): the clips' own motion, from ``first`` control steps before ``times`` on backwards."""
        steps = torch.arange(first, self._steps, device=times.device)
        past = times[:, None] - steps * self.scene.control_dt
        state = self.scene.library.state_at(clip_ids.repeat_interleave(len(steps)), past.flatten())
        return style_features(state.bodies, state.dof_vel, self.tables).reshape(len(times), len(steps), -1)

    def _features(self, bodies: BodyState, dof_vel: Tensor, clip_ids: Tensor, time: Tensor) -> Tensor:
        """(M, F) of simulated humanoids and the moments of the clips they are at."""
        if not self._paired:
            return style_features(bodies, dof_vel, self.tables)
        reference = self.scene.state_at(clip_ids, time)
        wanted = world_features(reference.bodies, reference.dof_vel, self.tables)
        return wanted - world_features(bodies, dof_vel, self.tables)
