"""What a motion is, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from poselib.skeleton import Skeleton

SMPL_MODELS = {"smpl": "SMPL", "smplh": "SMPL-H", "smplx": "SMPL-X"}
"""Kinds of body models and how they are called."""

SMPL_GENDERS = ("neutral", "male", "female")
"""Of each kind there are three models."""


@dataclass(frozen=True)
class BodyShape:
    """Whose body a file of SMPL poses was recorded from.

    Attributes:
        model: one of :data:`SMPL_MODELS`; shape numbers of one mean nothing to another.
        gender: one of :data:`SMPL_GENDERS`, each with shape numbers of its own; empty if the file does not tell.
        betas: shape numbers, the most telling first; empty if the file's are unusable.
    """

    model: str
    gender: str
    betas: tuple[float, ...]


@dataclass(frozen=True)
class MotionClip:
    """One motion of one body: a root path and the rotation of every body relative to its parent.

    A clip is either on a robot's bodies (``skeleton`` is None) or on a skeleton that came with the file and must be
    retargeted before a robot can track it.

    Attributes:
        name: identifies the clip in tables and failure lists; unique within one load.
        fps: frames per second, > 0.
        body_names: the B bodies, a robot's in its own MJCF order (a robot with other names refuses the clip).
        root_pos: (T, 3) float64 m, world position of the root body's origin, z up.
        local_rot: (T, B, 4) float64 wxyz, rotation of each body in its parent's frame (the root: in the world).
            All identities are the robot's zero pose (SMPL: T-pose facing +x).
            On a foreign skeleton all identities are the file's own rest pose, likewise z up and facing +x.
        source: the file the clip was read from, for messages.
        skeleton: the foreign skeleton, with offsets in metres in the rest pose; None for a robot's bodies.
        rig: name of the kind of skeleton where it was recognised (``puffer_phc.motions.formats.rigs``), else empty.
        loops: the file says that the motion begins anew at its end.
        shape: the subject's body, where the file tells and the clip is on the mean body instead.
    """

    name: str
    fps: float
    body_names: tuple[str, ...]
    root_pos: Tensor
    local_rot: Tensor
    source: str = field(default="", compare=False)
    skeleton: Skeleton | None = field(default=None, compare=False)
    rig: str = field(default="", compare=False)
    loops: bool = field(default=False, compare=False)
    shape: BodyShape | None = field(default=None, compare=False)

    @property
    def num_frames(self) -> int:
        """Frames T."""
        return int(self.root_pos.shape[0])

    @property
    def duration(self) -> float:
        """Seconds between the first and the last frame, (T - 1) / fps."""
        return (self.num_frames - 1) / self.fps
