"""How a source's rest pose differs from the robot's: one constant rotation per body.

``R_target = R_source A`` for world rotations, where ``A`` turns the robot's rest bone into the source's direction.
CMU's skeletons have calibrated tables; for others the minimal rotation between the rest directions is computed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from poselib.rotations import exp_map_to_quat, quat_mul
from poselib.skeleton import Skeleton
from puffer_phc.motions.joint_maps import SIDES, Anatomy

_Degrees = tuple[float, float, float]

# Rotation vectors in degrees, axes x left, y up, z forward: SMPL's T-pose bones into those of CMU's zero pose (legs 20
# degrees out, arms level). Calibrated against AMASS; without them joints are 110 mm off instead of 34.
_CMU: dict[str, dict[str, _Degrees]] = {
    "thigh": {"L": (-0.7, -0.2, 14.8), "R": (-1.3, 0.5, -14.3)},
    "shin": {"L": (-6.0, -2.2, 21.9), "R": (-5.8, 2.1, -22.2)},
    "upper_arm": {"L": (0.0, -6.0, 2.8), "R": (0.0, 4.8, -3.0)},
    "forearm": {"L": (0.0, -0.3, -2.1), "R": (0.0, 1.3, 1.7)},
}
_CMU_NECK: _Degrees = (-5.0, 0.0, 0.0)
_CMU_HEAD: _Degrees = (-16.0, 0.0, 0.0)
# Other skeletons made of CMU's recordings: their zero pose to CMU's, by the same parts.
_TO_CMU: dict[str, dict[str, _Degrees]] = {
    "cmu_asf": {},
    "cmu_bvh_cgspeed": {},
    "cmu_bvh_3dsmax": {
        f"{part}_{side}": (0.0, 0.0, turn)
        for part in ("upper_arm", "forearm", "hand")
        for side, turn in (("L", -90.0), ("R", 90.0))
    },
    "cmu_bvh_daz": {
        **{
            f"{part}_{side}": (tilt, 0.0, turn)
            for part, tilt in (("thigh", 5.0), ("shin", 5.0), ("foot", 0.0))
            for side, turn in (("L", -20.2), ("R", 20.2))
        },
        **{
            f"{part}_{side}": (0.0, 0.0, turn)
            for part in ("upper_arm", "forearm", "hand")
            for side, turn in (("L", -7.8), ("R", 7.8))
        },
        "torso": (18.4, 0.0, 0.0),
        "neck": (-16.0, 0.0, 0.0),
        "head": (16.0, 0.0, 0.0),
    },
}
RIG_MAPS: dict[str, dict[str, str]] = {
    # The converter folded CMU's lowest spine joint into its neighbours: its usual bend is all that is known of it.
    "cmu_bvh_daz": {"Torso": "hip", "Spine": "abdomen", "Chest": "chest"},
}
"""Joints of known rigs where anatomy alone would mislead: source joint by SMPL body."""

_INHERITS = {"foot": "shin", "toe": "shin", "hand": "forearm"}
"""Parts whose rest orientation follows that of the part above."""


def rest_alignment(
    rig: str, source: Skeleton, source_parts: Anatomy, target: Skeleton, target_parts: Anatomy
) -> dict[int, Tensor]:
    """The rotations A (4,) wxyz by the target's body index; bodies that are not named need none.

    Args:
        rig: the source's rig; the CMU rigs have tables for robots with SMPL's rest pose.
        source, source_parts: the source and its limbs.
        target, target_parts: the robot's skeleton and its limbs.
    """
    if has_table(rig, target):
        return _from_tables(_TO_CMU[rig], target_parts)
    return _from_bones(source, source_parts, target, target_parts)


def has_table(rig: str, target: Skeleton) -> bool:
    """Whether the rest pose of ``rig`` is known relative to that of the robot."""
    return rig in _TO_CMU and "L_Thorax" in target.names


def _from_tables(to_cmu: dict[str, _Degrees], parts: Anatomy) -> dict[int, Tensor]:
    result = {}
    if "torso" in to_cmu:
        result[parts.spine[0]] = _upright(to_cmu["torso"])
    for side in SIDES:
        for part in ("thigh", "shin", "foot", "toe", "upper_arm", "forearm", "hand"):
            bodies = getattr(parts, part)
            if side not in bodies:
                continue
            cmu = _upright(_CMU[_INHERITS.get(part, part)][side])
            other = to_cmu.get(f"{'foot' if part == 'toe' else part}_{side}", (0.0, 0.0, 0.0))
            result[bodies[side]] = quat_mul(_upright(other), cmu)
    for body in parts.neck[:-1]:
        result[body] = quat_mul(_upright(to_cmu.get("neck", (0.0, 0.0, 0.0))), _upright(_CMU_NECK))
    for body in parts.neck[-1:]:
        result[body] = quat_mul(_upright(to_cmu.get("head", (0.0, 0.0, 0.0))), _upright(_CMU_HEAD))
    return result


def _upright(degrees: _Degrees) -> Tensor:
    """A rotation vector in degrees, axes (left, up, forward), as a quaternion in ours (forward, left, up)."""
    left, up, forward = (math.radians(value) for value in degrees)
    return exp_map_to_quat(torch.tensor((forward, left, up), dtype=torch.float64))


def _from_bones(source: Skeleton, source_parts: Anatomy, target: Skeleton, target_parts: Anatomy) -> dict[int, Tensor]:
    """Minimal rotations between the rest bones of thighs, shins and arms; feet are only turned about the vertical."""
    result: dict[int, Tensor] = {}
    for part, child in (("thigh", "shin"), ("shin", "foot"), ("upper_arm", "forearm"), ("forearm", "hand")):
        for side in SIDES:
            wanted = _bone(source, source_parts, getattr(source_parts, child).get(side))
            given = _bone(target, target_parts, getattr(target_parts, child).get(side))
            body = getattr(target_parts, part).get(side)
            if body is not None and wanted is not None and given is not None:
                turn = _between(given, wanted)
                result |= {one: turn for one in (*target_parts.above.get(body, ()), body)}
    for side in SIDES:
        toes = (
            _bone(source, source_parts, source_parts.toe.get(side)),
            _bone(target, target_parts, target_parts.toe.get(side)),
        )
        foot, toe = target_parts.foot.get(side), target_parts.toe.get(side)
        if foot is not None and toe is not None and toes[0] is not None and toes[1] is not None:
            flat = torch.tensor((1.0, 1.0, 0.0), dtype=torch.float64)
            result[foot] = result[toe] = _between(toes[1] * flat, toes[0] * flat)
        hand, forearm = target_parts.hand.get(side), target_parts.forearm.get(side)
        if hand is not None and forearm in result:
            result[hand] = result[forearm]
    return result


def _bone(skeleton: Skeleton, parts: Anatomy, child: int | None) -> Tensor | None:
    """Vector (3,) m at rest from the joint above to that of ``child``, None if it has no length."""
    if child is None:
        return None
    limb = skeleton.parents[parts.top(child)]
    steps = (*(*parts.above.get(limb, ()), limb)[1:], *parts.above.get(child, ()), child)
    offset = skeleton.offsets[list(steps)].double().sum(dim=0)
    return offset if float(offset.norm()) > 1e-4 else None


def _between(a: Tensor, b: Tensor) -> Tensor:
    """The smallest rotation (4,) that takes the direction of ``a`` (3,) to that of ``b`` (3,)."""
    a, b = a / a.norm(), b / b.norm()
    real = 1.0 + torch.dot(a, b)
    if float(real) < 1e-9:  # opposite: any axis across will do
        across = torch.linalg.cross(a, a.new_tensor((1.0, 0.0, 0.0) if abs(float(a[0])) < 0.9 else (0.0, 1.0, 0.0)))
        return torch.cat((a.new_zeros(1), across / across.norm()))
    quat = torch.cat((real[None], torch.linalg.cross(a, b)))
    return quat / quat.norm()
