"""What every clip must satisfy, whatever file it came from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip

MIN_FRAMES = 5
"""Shorter clips have no usable velocities (PHC drops them as well)."""

_NORM_TOLERANCE = 1e-3


def check_clip(clip: MotionClip) -> None:
    """Checks frame rate, shapes, finite numbers, unit quaternions and unique body names; not the length.

    Raises:
        InputError: naming the clip, what is wrong and from which frame on.
    """
    where, bodies = _where(clip), len(clip.body_names)
    if not math.isfinite(clip.fps) or clip.fps <= 0:
        raise InputError(where, f"its frame rate is {clip.fps}", "the frame rate must be finite and above 0")
    if bodies == 0 or len(set(clip.body_names)) < bodies:
        raise InputError(where, "its body names are missing or not unique", "name every body once")
    if clip.root_pos.shape != (clip.num_frames, 3) or clip.local_rot.shape != (clip.num_frames, bodies, 4):
        raise InputError(
            where,
            f"root_pos has shape {tuple(clip.root_pos.shape)} and local_rot {tuple(clip.local_rot.shape)}",
            f"the shapes must be (T, 3) and (T, {bodies}, 4)",
        )
    bad = ~(torch.isfinite(clip.root_pos).all(dim=-1) & torch.isfinite(clip.local_rot).flatten(1).all(dim=-1))
    if bad.any():
        raise InputError(where, f"NaN or infinite values from frame {_first(bad)} on", "repair or drop the clip")
    bad = ((clip.local_rot.norm(dim=-1) - 1).abs() > _NORM_TOLERANCE).any(dim=-1)
    if bad.any():
        raise InputError(
            where, f"rotations that are no unit quaternions from frame {_first(bad)} on", "export the clip again"
        )


def check_bodies(clip: MotionClip, body_names: Sequence[str]) -> None:
    """Checks that ``clip`` has exactly the robot's bodies in the robot's order.

    Raises:
        InputError: naming the missing and extra bodies, or the first one out of order.
    """
    wanted = tuple(body_names)
    if clip.body_names == wanted:
        return
    where, remedy = _where(clip), "retarget the clip to the robot or choose the robot it was made for"
    missing = [name for name in wanted if name not in clip.body_names]
    extra = [name for name in clip.body_names if name not in wanted]
    if missing or extra:
        parts = [f"{len(clip.body_names)} bodies where the robot has {len(wanted)}"]
        parts += [f"missing {', '.join(missing)}"] if missing else []
        parts += [f"unknown {', '.join(extra)}"] if extra else []
        raise InputError(where, "; ".join(parts), remedy)
    if len(clip.body_names) != len(wanted):
        raise InputError(where, f"{len(clip.body_names)} bodies where the robot has {len(wanted)}", remedy)
    index = next(i for i, pair in enumerate(zip(clip.body_names, wanted, strict=True)) if pair[0] != pair[1])
    raise InputError(
        where, f"body {index} is {clip.body_names[index]} where the robot has {wanted[index]}", "reorder the bodies"
    )


def _where(clip: MotionClip) -> str:
    return f"{clip.source} (clip {clip.name})" if clip.source else f"clip {clip.name}"


def _first(bad: torch.Tensor) -> int:
    return int(bad.nonzero()[0])
