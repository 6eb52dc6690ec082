"""The motions of an exported folder, looked up by time in NumPy as ``MotionLibrary`` does. Needs no torch."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from puffer_phc.deployment.rotations import quat_slerp, quat_to_exp_map
from puffer_phc.deployment.sight import Bodies
from puffer_phc.errors import InputError
from puffer_phc.quaternions import Array

_EXPORT = "write it with --mode export --env.motion_file FILE"
_SNAP = 1e-4  # frames: a time so near a frame is that frame, as times are float32 in training


@dataclass(frozen=True)
class MotionFrames:
    """Frames of C clips one after another, F in all, as ``motions.npz`` holds them.

    Attributes:
        robot: whose motions they are.
        names: (C,) names of the clips.
        num_frames: (C,) frames of each.
        fps: (C,) frames per second of each.
        body_pos, body_rot, body_vel, body_ang_vel: (F, B, ...), see :class:`Bodies`.
        dof_pos, dof_vel: (F, D) rad and rad / s.
        qpos, qvel: (F, nq) and (F, nv), the same state as MuJoCo wants it.
    """

    robot: str
    names: tuple[str, ...]
    num_frames: NDArray[np.int64]
    fps: NDArray[np.float32]
    body_pos: Array
    body_rot: Array
    body_vel: Array
    body_ang_vel: Array
    dof_pos: Array
    dof_vel: Array
    qpos: Array
    qvel: Array

    def save(self, path: Path) -> None:
        """Write ``motions.npz``."""
        arrays = {name: np.asarray(getattr(self, name)) for name in self.__dataclass_fields__}
        np.savez_compressed(path, allow_pickle=False, **arrays)


def load_frames(path: Path) -> MotionFrames:
    """Read ``motions.npz``.

    Raises:
        InputError: it is missing or damaged.
    """
    if not path.is_file():
        raise InputError(path, "does not exist", _EXPORT)
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in MotionFrames.__dataclass_fields__}
    except KeyError as error:
        raise InputError(path, f"lacks {error}", _EXPORT) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(path, f"is no readable motion file ({str(error)[:120]})", _EXPORT) from None
    frames = MotionFrames(str(arrays.pop("robot")), tuple(map(str, arrays.pop("names"))), **arrays)
    _check(frames, path)
    return frames


def _check(frames: MotionFrames, path: Path) -> None:
    clips, count = len(frames.names), len(frames.qpos)
    bodies = (frames.body_pos, frames.body_rot, frames.body_vel, frames.body_ang_vel)
    per_frame = (*bodies, frames.dof_pos, frames.dof_vel, frames.qvel)
    whole = (
        clips > 0 and frames.num_frames.shape == frames.fps.shape == (clips,) and bool(np.all(frames.num_frames > 0))
    )
    if not whole or frames.num_frames.sum() != count or any(len(array) != count for array in per_frame):
        raise InputError(path, "has arrays of different lengths", _EXPORT)
    if not (np.all(frames.fps > 0) and all(np.isfinite(array).all() for array in (*per_frame, frames.qpos))):
        raise InputError(path, "has values that are not finite, or no frame rate", _EXPORT)


class Motion:
    """One clip, looked up by time.

    Args:
        frames: of all clips.
        clip: which one.
        model: says which joints are balls, whose coordinates are interpolated on the sphere.

    Attributes:
        name: of the clip.
        duration: s, time of its last frame.
    """

    def __init__(self, frames: MotionFrames, clip: int, model: mujoco.MjModel) -> None:
        first = int(frames.num_frames[:clip].sum())
        rows = slice(first, first + int(frames.num_frames[clip]))
        self.name, self._fps = frames.names[clip], float(frames.fps[clip])
        self._pos, self._rot = frames.body_pos[rows], frames.body_rot[rows]
        self._vel, self._ang_vel = frames.body_vel[rows], frames.body_ang_vel[rows]
        self._dof_pos, self._qpos, self._qvel = frames.dof_pos[rows], frames.qpos[rows], frames.qvel[rows]
        self.duration = (len(self._qpos) - 1) / self._fps
        balls = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_BALL)
        self._ball_quats = model.jnt_qposadr[balls][:, None] + np.arange(4)  # (J, 4) places in qpos
        self._ball_dofs = model.jnt_dofadr[balls][:, None] - 6 + np.arange(3)  # (J, 3) places in dof_pos

    def start(self) -> tuple[Array, Array]:
        """MuJoCo's ``qpos`` and ``qvel`` of the first frame."""
        return self._qpos[0], self._qvel[0]

    def bodies_at(self, time: float) -> Bodies:
        """Bodies (1, B, ...) at ``time`` s; before and after the clip, those of its first and last frame."""
        before, after, blend = self._moment(time)
        pos, vel, ang_vel = ((1 - blend) * x[before] + blend * x[after] for x in (self._pos, self._vel, self._ang_vel))
        rot = quat_slerp(self._rot[before], self._rot[after], blend)
        return Bodies(pos[None], rot[None], vel[None], ang_vel[None])

    def dof_pos_at(self, time: float) -> Array:
        """Joint coordinates (1, D) rad at ``time`` s."""
        before, after, blend = self._moment(time)
        dof_pos = (1 - blend) * self._dof_pos[before] + blend * self._dof_pos[after]
        if blend and len(self._ball_dofs):
            quats = quat_slerp(self._qpos[before][self._ball_quats], self._qpos[after][self._ball_quats], blend)
            dof_pos[self._ball_dofs] = quat_to_exp_map(quats)
        return dof_pos[None]

    def qpos_at(self, time: float) -> Array:
        """MuJoCo's ``qpos`` (nq,) of the nearest frame, for pictures."""
        before, after, blend = self._moment(time)
        return self._qpos[after if blend > 0.5 else before]

    def _moment(self, time: float) -> tuple[int, int, float]:
        """Frames before and after ``time`` and the blend between them."""
        last = len(self._qpos) - 1
        frame = min(max(time * self._fps, 0.0), float(last))
        if abs(frame - round(frame)) < _SNAP:
            frame = float(round(frame))
        before = int(frame)
        return before, min(before + 1, last), frame - before
