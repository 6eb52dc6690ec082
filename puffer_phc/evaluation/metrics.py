"""How far a performed motion is from its reference: per-frame errors of one clip and their summary over many.

The definitions are those of PHC's ``compute_metrics_lite`` (Luo et al., 2023): positions in metres come in, errors in
millimetres come out, velocities and accelerations are differences between control steps (mm/frame, mm/frame²).
:mod:`puffer_phc.evaluation.measures` computes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_phc.evaluation.measures import COLUMNS, position_errors, rotation_angle, similarity_aligned

FloatArray = NDArray[np.float64]
ArrayLike = Tensor | NDArray[np.floating]
SummaryValue = float | int | bool | None

POSITION_METRICS: tuple[str, ...] = ("mpjpe_g", "mpjpe_l", "mpjpe_pa", "vel_dist", "accel_dist")
"""Keys of :func:`tracking_metrics`, all in mm (per frame, per frame²)."""


class Metric(NamedTuple):
    """How one metric is called and shown.

    Attributes:
        name: key in tables and files.
        label: for people.
        unit: after the factor ``scale``, empty for none.
        digits: after the point.
        scale: from what is stored to what is shown.
    """

    name: str
    label: str
    unit: str
    digits: int
    scale: float = 1.0


METRICS: tuple[Metric, ...] = (
    Metric("mpjpe_g", "error", "mm", 1),
    Metric("mpjpe_l", "error relative to the pelvis", "mm", 1),
    Metric("mpjpe_pa", "error of the pose alone", "mm", 1),
    Metric("vel_dist", "velocity error", "mm/frame", 2),
    Metric("accel_dist", "acceleration error", "mm/frame²", 2),
    Metric("rot_error", "rotation error", "°", 1, 180.0 / math.pi),
    Metric("root_drift", "root drift, mean", "mm", 1),
    Metric("root_drift_final", "root drift, at the end", "mm", 1),
    Metric("jerk", "jerk, simulated", "m/s³", 0),
    Metric("jerk_ref", "jerk, reference", "m/s³", 0),
    Metric("foot_skate", "foot skate, simulated", "mm/s", 1),
    Metric("foot_skate_ref", "foot skate, reference", "mm/s", 1),
    Metric("contact", "contact as in the reference", "%", 1, 100.0),
)
"""Everything that is measured of a clip. Means are over frames, but for ``root_drift_final``: over clips."""


@dataclass(frozen=True)
class ClipResult:
    """What one clip's evaluation left behind.

    Attributes:
        name: the clip's key in the motion library.
        frames: control steps the whole clip lasts.
        played_steps: control steps performed before the clip ended or the episode was terminated.
        success: True when the clip was performed to its end.
        metrics: values that are averaged, see :data:`METRICS` and :func:`tracking_metrics`: one per frame, or fewer
            (differences; feet that stand), or one for the clip.
        category: kind of motion.
    """

    name: str
    frames: int
    played_steps: int
    success: bool
    metrics: dict[str, FloatArray]
    category: str = "all"


def clip_metrics(measures: FloatArray, feet: int) -> dict[str, FloatArray]:
    """The metrics of one clip from the measures (K, T >= 1) of its scored frames, columns of ``FrameMeasures``."""
    columns = dict(zip(COLUMNS, measures, strict=False))
    for name, missing in (("vel_dist", 1), ("accel_dist", 2), ("jerk", 3), ("jerk_ref", 3)):
        columns[name] = columns[name][missing:]
    skating = measures[len(COLUMNS) :, 1:]
    speeds = {"foot_skate": skating[:feet], "foot_skate_ref": skating[feet:]}
    return {
        **columns,
        "root_drift_final": columns["root_drift"][-1:],
        **{name: values[np.isfinite(values)] for name, values in speeds.items()},
    }


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
    own, other = _as_float64(pred, "pred"), _as_float64(ref, "ref")
    if own.shape != other.shape or own.ndim != 3 or own.shape[1] == 0 or own.shape[2] != 3:
        raise ValueError(f"pred {tuple(own.shape)} and ref {tuple(other.shape)} must have one shape (T, J >= 1, 3)")
    pos, target = (tensor.transpose(1, 2)[..., None] for tensor in (own, other))  # (T, 3, J, 1)
    return {name: value[:, 0].numpy() for name, value in position_errors(pos, target).items()}


def procrustes_align(source: ArrayLike, target: ArrayLike) -> FloatArray:
    """``source`` (T, J, 3) moved onto ``target`` (T, J, 3) by each frame's best similarity transform."""
    own, other = (_as_float64(value, name) for value, name in ((source, "source"), (target, "target")))
    aligned = similarity_aligned(own.transpose(1, 2)[..., None], other.transpose(1, 2)[..., None])
    return aligned[..., 0].transpose(1, 2).numpy()


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
        raise ValueError(
            f"pred_rot {tuple(pred.shape)} and ref_rot {tuple(ref.shape)} must have one shape (T, J >= 1, 4)"
        )
    angle = rotation_angle(pred.transpose(1, 2)[..., None], ref.transpose(1, 2)[..., None])  # (T, J, 1)
    return angle.mean(dim=1)[:, 0].numpy()


def summarize(per_clip: Sequence[ClipResult]) -> dict[str, SummaryValue]:
    """One number per metric over many clips.

    The frames of all clips are concatenated and then averaged, so a long clip weighs more than a short one.

    Args:
        per_clip: results of at least one clip.

    Returns:
        ``success_rate``; ``mpjpe_all`` and ``mpjpel_all`` over all clips; over the successful ones ``mpjpe_succ`` and
        ``mpjpel_succ``, mm, and all others of :data:`METRICS` that every clip has. ``no_success`` is True when nothing
        succeeded: the latter are then over all clips. ``clips``, ``clips_succeeded`` and ``frames`` (scored) say how
        much stands behind the numbers. A metric without any finite value is None, never NaN.

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
    }
    for metric in METRICS[2:]:
        if all(metric.name in clip.metrics for clip in per_clip):
            summary[metric.name] = _mean_over_frames(scored, metric.name)
    return summary


def finite_mean(values: FloatArray) -> float | None:
    """Mean of a per-frame array as a plain float; None when it is empty or not finite (JSON has no NaN)."""
    mean = float(values.mean()) if values.size else math.nan
    return mean if math.isfinite(mean) else None


def _mean_over_frames(clips: Sequence[ClipResult], key: str) -> float | None:
    return finite_mean(np.concatenate([np.asarray(clip.metrics[key], dtype=np.float64) for clip in clips]))


def _as_float64(values: ArrayLike, name: str) -> Tensor:
    """A double-precision copy on the CPU, so that second differences add no rounding of their own."""
    raw = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    tensor = raw.cpu().double()
    finite = tensor.isfinite()
    if not finite.all():
        raise ValueError(f"{name} has a value that is not finite in frame {int((~finite).nonzero()[0, 0])}")
    return tensor
