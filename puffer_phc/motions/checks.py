"""What every clip must satisfy, whatever file it came from."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip

MIN_FRAMES = 5
"""Shorter clips have no usable velocities (PHC drops them as well)."""

_NORM_TOLERANCE = 1e-3
_FPS = (0.1, 10_000.0)  # beyond, a clip lasts for days or a control step skips all of it


def check_clip(clip: MotionClip) -> None:
    """Checks frame rate, shapes, finite numbers, unit quaternions, body names and skeleton; not the length.

    Raises:
        InputError: naming the clip, what is wrong and from which frame on.
    """
    where, bodies = _where(clip), len(clip.body_names)
    if not _FPS[0] <= clip.fps <= _FPS[1]:  # also false for NaN
        raise InputError(where, f"its frame rate is {clip.fps}", f"it must be between {_FPS[0]:g} and {_FPS[1]:g}")
    if bodies == 0 or len(set(clip.body_names)) < bodies:
        raise InputError(where, "its body names are missing or not unique", "name every body once")
    if clip.root_pos.shape != (clip.num_frames, 3) or clip.local_rot.shape != (clip.num_frames, bodies, 4):
        raise InputError(
            where,
            f"root_pos has shape {tuple(clip.root_pos.shape)} and local_rot {tuple(clip.local_rot.shape)}",
            f"the shapes must be (T, 3) and (T, {bodies}, 4)",
        )
    if clip.skeleton is not None and clip.skeleton.names != clip.body_names:
        raise InputError(where, "its skeleton has other bodies than its rotations", "export the clip again")
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
        InputError: naming the missing and extra bodies, or the first one out of order; or the clip is on a skeleton of
            its own, whose rest pose is not the robot's even where names agree.
    """
    wanted = tuple(body_names)
    where, remedy = _where(clip), "retarget the clip to the robot or choose the robot it was made for"
    if clip.skeleton is not None:
        kind = f"a skeleton of its own ({clip.rig})" if clip.rig else "a skeleton of its own"
        raise InputError(where, f"it moves {kind}, not the robot", "retarget it with scripts/convert_motions.py")
    if clip.body_names == wanted:
        return
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
