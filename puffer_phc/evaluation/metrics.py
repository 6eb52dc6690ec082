"""How far a performed motion is from its reference: per-frame errors of one clip and their summary over many.

The definitions are those of PHC's ``compute_metrics_lite`` (Luo et al., 2023): positions in metres come in, errors in
millimetres come out, velocities and accelerations are differences between control steps (mm/frame, mm/frame²).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poselib.rotations import quat_angle, quat_conj, quat_mul

FloatArray = NDArray[np.float64]
ArrayLike = Tensor | NDArray[np.floating]
SummaryValue = float | int | bool | None

POSITION_METRICS: tuple[str, ...] = ("mpjpe_g", "mpjpe_l", "mpjpe_pa", "vel_dist", "accel_dist")
"""Keys of :func:`tracking_metrics`, all in mm (per frame, per frame²)."""

_MM = 1000.0
_POINT_SIZE = 1e-9  # m: a body smaller than this has no orientation or scale to align


@dataclass(frozen=True)
class ClipResult:
    """What one clip's evaluation left behind.

    Attributes:
        name: the clip's key in the motion library.
        frames: control steps the whole clip lasts.
        played_steps: control steps performed before the clip ended or the episode was terminated.
        success: True when the clip was performed to its end.
        metrics: per-frame errors, see :func:`tracking_metrics`; ``rot_error`` (rad) may be among them.
    """

    name: str
    frames: int
    played_steps: int
    success: bool
    metrics: dict[str, FloatArray]


def tracking_metrics(pred: ArrayLike, ref: ArrayLike) -> dict[str, FloatArray]:
    """Per-frame tracking errors of one clip, each the mean over joints.

    Args:
        pred: performed joint positions (T, J, 3) m, world; joint 0 is the pelvis.
        ref: reference joint positions (T, J, 3) m, world.

    Returns:
        ``mpjpe_g`` (T,) global error, ``mpjpe_l`` (T,) error relative to the pelvis and ``mpjpe_pa`` (T,) error after
        the best similarity transform of each frame, in mm; ``vel_dist`` (max(T-1, 0),) mm/frame;
        ``accel_dist`` (max(T-2, 0),) mm/frame².

    Raises:
        ValueError: the shapes differ or are not (T, J >= 1, 3), or a value is not finite.
    """
    pred_pos, ref_pos = _as_float64(pred, "pred"), _as_float64(ref, "ref")
    if pred_pos.shape != ref_pos.shape or pred_pos.ndim != 3 or pred_pos.shape[1] == 0 or pred_pos.shape[2] != 3:
        raise ValueError(f"pred {pred_pos.shape} and ref {ref_pos.shape} must have one shape (T, J >= 1, 3)")

    error = pred_pos - ref_pos  # differences are linear, so velocity and acceleration errors are differences of this
    pred_local = pred_pos - pred_pos[:, :1]
    ref_local = ref_pos - ref_pos[:, :1]
    return {
        "mpjpe_g": _mean_norm_mm(error),
        "mpjpe_l": _mean_norm_mm(pred_local - ref_local),
        "mpjpe_pa": _mean_norm_mm(procrustes_align(pred_local, ref_local) - ref_local),
        "vel_dist": _mean_norm_mm(error[1:] - error[:-1]),
        "accel_dist": _mean_norm_mm(error[:-2] - 2.0 * error[1:-1] + error[2:]),
    }


def procrustes_align(source: FloatArray, target: FloatArray) -> FloatArray:
    """``source`` (T, J, 3) moved onto ``target`` (T, J, 3) by each frame's best similarity transform.

    Scale, rotation and translation minimise the summed squared distance; a reflection is not allowed (Umeyama, 1991).
    A frame whose source is a single point can only be moved onto the target's centre.
    """
    source_centred = source - source.mean(axis=1, keepdims=True)
    target_mean = target.mean(axis=1, keepdims=True)
    size = np.sqrt((source_centred**2).sum(axis=(1, 2), keepdims=True))  # (T, 1, 1)
    # Unit size keeps the scale below bounded by the target's size, however small the source is.
    source_unit = np.where(size > _POINT_SIZE, source_centred, 0.0) / np.maximum(size, _POINT_SIZE)

    covariance = np.swapaxes(target - target_mean, 1, 2) @ source_unit  # (T, 3, 3)
    u, singular, vt = np.linalg.svd(covariance)
    mirror = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0.0, -1.0, 1.0)  # (T,)
    # Flipping the weakest axis is the cheapest way from a reflection to a rotation.
    signs = np.stack((np.ones_like(mirror), np.ones_like(mirror), mirror), axis=-1)  # (T, 3)
    rotation = (u * signs[:, None, :]) @ vt  # (T, 3, 3), acts on column vectors
    scale = (singular * signs).sum(axis=-1)[:, None, None]
    return scale * source_unit @ np.swapaxes(rotation, 1, 2) + target_mean


def rotation_error(pred_rot: ArrayLike, ref_rot: ArrayLike) -> FloatArray:
    """Mean angle between performed and reference body orientations.

    Args:
        pred_rot: performed orientations (T, J, 4), unit wxyz, world.
        ref_rot: reference orientations (T, J, 4), unit wxyz, world.

    Returns:
        (T,) rad in [0, pi], the mean over joints.

    Raises:
        ValueError: the shapes differ or are not (T, J >= 1, 4), or a value is not finite.
    """
    pred, ref = _as_float64(pred_rot, "pred_rot"), _as_float64(ref_rot, "ref_rot")
    if pred.shape != ref.shape or pred.ndim != 3 or pred.shape[1] == 0 or pred.shape[2] != 4:
        raise ValueError(f"pred_rot {pred.shape} and ref_rot {ref.shape} must have one shape (T, J >= 1, 4)")
    angle = quat_angle(quat_mul(torch.from_numpy(ref), quat_conj(torch.from_numpy(pred))))  # (T, J)
    return angle.mean(dim=-1).numpy()


def summarize(per_clip: Sequence[ClipResult]) -> dict[str, SummaryValue]:
    """One number per metric over many clips.

    The frames of all clips are concatenated and then averaged, so a long clip weighs more than a short one.

    Args:
        per_clip: results of at least one clip.

    Returns:
        ``success_rate``; ``mpjpe_all`` and ``mpjpel_all`` over all clips; ``mpjpe_succ``, ``mpjpel_succ``,
        ``mpjpe_pa``, ``vel_dist`` and ``accel_dist`` over the successful ones, mm (also ``rot_error``, rad, when every
        clip has it). ``no_success`` is True when nothing succeeded: the latter are then over all clips. ``clips``,
        ``clips_succeeded`` and ``frames`` (scored) say how much stands behind the numbers. A metric without any finite
        frame is None, never NaN.

    Raises:
        ValueError: no clip is given.
    """
    if not per_clip:
        raise ValueError("summarize needs the result of at least one clip")
    succeeded = [clip for clip in per_clip if clip.success]
    scored = succeeded or per_clip
    summary: dict[str, SummaryValue] = {
        "success_rate": len(succeeded) / len(per_clip),
        "no_success": not succeeded,
        "clips": len(per_clip),
        "clips_succeeded": len(succeeded),
        "frames": sum(len(clip.metrics["mpjpe_g"]) for clip in per_clip),
        "mpjpe_all": _mean_over_frames(per_clip, "mpjpe_g"),
        "mpjpel_all": _mean_over_frames(per_clip, "mpjpe_l"),
        "mpjpe_succ": _mean_over_frames(scored, "mpjpe_g"),
        "mpjpel_succ": _mean_over_frames(scored, "mpjpe_l"),
        "mpjpe_pa": _mean_over_frames(scored, "mpjpe_pa"),
        "vel_dist": _mean_over_frames(scored, "vel_dist"),
        "accel_dist": _mean_over_frames(scored, "accel_dist"),
    }
    if all("rot_error" in clip.metrics for clip in per_clip):
        summary["rot_error"] = _mean_over_frames(scored, "rot_error")
    return summary


def finite_mean(values: FloatArray) -> float | None:
    """Mean of a per-frame array as a plain float; None when it is empty or not finite (JSON has no NaN)."""
    mean = float(values.mean()) if values.size else math.nan
    return mean if math.isfinite(mean) else None


def _mean_over_frames(clips: Sequence[ClipResult], key: str) -> float | None:
    return finite_mean(np.concatenate([np.asarray(clip.metrics[key], dtype=np.float64) for clip in clips]))


def _mean_norm_mm(vectors: FloatArray) -> FloatArray:
    """Mean over joints of the norms of (T, J, 3) m, as (T,) mm."""
    return np.linalg.norm(vectors, axis=-1).mean(axis=-1) * _MM


def _as_float64(values: ArrayLike, name: str) -> FloatArray:
    """A double-precision copy on the CPU, so that second differences add no rounding of their own."""
    raw = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    array: FloatArray = raw.astype(np.float64)
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(f"{name} has a value that is not finite in frame {int(np.argwhere(~finite)[0, 0])}")
    return array
