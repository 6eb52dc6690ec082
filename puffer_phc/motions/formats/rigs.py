"""Skeletons that the content of a file proves, and what is known of each: unit, axes, frames added by a converter.

A rig is recognised by its joints' names; its unit and axes are believed only if the legs of the file's own rest pose
then have a human's length and direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from puffer_phc.errors import InputError
from puffer_phc.motions.formats.axes import change_of_axes
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.robots.smpl_table import BODY_NAMES

CMU_UNIT = 0.0254 / 0.45
"""Metres per unit of CMU's own files, which count inches divided by 0.45."""

CMU_SLOW_SUBJECTS = frozenset((33, 34, 42, 60, 61, 62, 74, 75, 77, 79, 80, 87, 88, 89, 136))
"""CMU's subjects captured at 60 frames per second, by CMU's index; every BVH made of them says 120."""

CMU_SLOW_FPS = 60.0

_LEG_METRES = (0.5, 1.2)
_MAX_TILT = 0.8  # cosine; CMU's legs stand 20 degrees out


@dataclass(frozen=True)
class Rig:
    """A kind of skeleton.

    Attributes:
        name: as in :attr:`puffer_phc.motions.clip.MotionClip.rig`.
        joints: names that all must be there.
        leg: the joints whose offsets are thigh and shin.
        unit: metres per unit.
        up: the axis that points up.
        forward: the axis that the rest pose faces.
        leg_axis: the axis that the leg follows at rest in the file, with its sign.
        added_frames: frames that the converter put before the recording; they begin with a root that is not turned at
            all, which no recording has.
        recorded_by_cmu: the files come from CMU's database.
    """

    name: str
    joints: frozenset[str]
    leg: tuple[str, str]
    unit: float
    up: str = "y"
    forward: str = "z"
    leg_axis: str = "-y"
    added_frames: int = 0
    recorded_by_cmu: bool = True


@dataclass(frozen=True)
class Conventions:
    """How to read a file's numbers.

    Attributes:
        rig: the rig that names and legs prove, or None.
        unit: metres per unit of length.
        change: (3, 3) rotation from the file's axes to ours.
    """

    rig: Rig | None
    unit: float
    change: np.ndarray


def _joints(names: str) -> frozenset[str]:
    return frozenset(names.split())


RIGS: tuple[Rig, ...] = (
    Rig("cmu_asf", _joints("root lfemur ltibia lfoot ltoes lowerback thorax lhumerus"), ("ltibia", "lfoot"), CMU_UNIT),
    Rig(
        "cmu_bvh_cgspeed",
        _joints("Hips LHipJoint LeftUpLeg LeftLeg LeftFoot LowerBack Spine1 Neck1 LeftFingerBase LThumb"),
        ("LeftLeg", "LeftFoot"),
        CMU_UNIT,
        added_frames=1,
    ),
    Rig(
        "cmu_bvh_3dsmax",
        _joints("Hips LHipJoint LeftHip LeftKnee LeftAnkle LeftToe lowerback Chest2 lowerneck LeftCollar lhand"),
        ("LeftKnee", "LeftAnkle"),
        CMU_UNIT,
        added_frames=1,
    ),
    Rig(
        "cmu_bvh_daz",
        _joints("hip abdomen chest neck lButtock lThigh lShin lFoot lCollar lShldr lForeArm lPinky2"),
        ("lShin", "lFoot"),
        0.01,
        added_frames=6,
    ),
    Rig(
        "lafan",
        _joints("Hips LeftUpLeg LeftLeg LeftFoot LeftToe Spine Spine1 Spine2 Neck Head LeftShoulder LeftForeArm"),
        ("LeftLeg", "LeftFoot"),
        0.01,
        leg_axis="x",
        recorded_by_cmu=False,
    ),
    Rig(
        "phc_smpl",
        frozenset(BODY_NAMES),
        ("L_Knee", "L_Ankle"),
        1.0,
        up="z",
        forward="x",
        leg_axis="-z",
        recorded_by_cmu=False,
    ),
    Rig(
        "igym_amp",
        _joints("pelvis torso head right_upper_arm right_lower_arm right_thigh right_shin right_foot left_foot"),
        ("right_shin", "right_foot"),
        1.0,
        up="z",
        forward="x",
        leg_axis="-z",
        recorded_by_cmu=False,
    ),
)


def find_rig(names: Sequence[str]) -> Rig | None:
    """The rig with these joints."""
    present = set(names)
    return next((rig for rig in RIGS if rig.joints <= present), None)


def conventions_of(
    path: Path, options: SourceOptions, names: Sequence[str], offsets: np.ndarray, unit: float | None = None
) -> Conventions:
    """How to read the numbers of a file with this skeleton.

    Args:
        path: the file, for messages.
        options: the user's and the sidecar's word, which comes first.
        names: joints.
        offsets: (B, 3) rest offsets in the file's unit and axes.
        unit: metres per unit where the file says it.

    Raises:
        InputError: unit or up axis are neither told nor in the file nor known; it names the options to give.
    """
    rig = find_rig(names)
    proven = rig if rig and _legs_fit(rig, names, offsets, options.unit or unit or rig.unit) else None
    metres = options.unit or unit or (proven.unit if proven else None)
    up = options.up or (proven.up if proven else None)
    if metres is None or up is None:
        fault = "the file does not tell its unit or its up axis, and its skeleton is not one of a known rig"
        if rig is not None:
            fault = f"its joints are those of {rig.name}, but its legs have not that rig's length and direction"
        missing = [] if metres else ["--unit (metres per unit, 0.01 for cm)"]
        missing += [] if up else ["--up (y or z)"]
        raise InputError(path, fault, f"give {' and '.join(missing)}")
    forward = options.forward or (proven.forward if proven and up == proven.up else None)
    return Conventions(proven, metres, change_of_axes(up, forward))


def _legs_fit(rig: Rig, names: Sequence[str], offsets: np.ndarray, unit: float) -> bool:
    leg = sum(offsets[list(names).index(joint)] for joint in rig.leg) * unit
    length = float(np.linalg.norm(leg))
    along = leg["xyz".index(rig.leg_axis[-1])] * (-1 if rig.leg_axis.startswith("-") else 1)
    return _LEG_METRES[0] < length < _LEG_METRES[1] and along > _MAX_TILT * length


def cmu_subject(stem: str) -> int | None:
    """CMU's subject number in a file name such as ``60_01`` or ``060_01.daz``; None for other names."""
    subject, _, trial = stem.partition("_")
    return int(subject) if len(subject) <= 3 and subject.isdecimal() and trial[:1].isdecimal() else None
