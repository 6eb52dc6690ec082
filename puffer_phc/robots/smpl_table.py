"""The 24-body SMPL humanoid as numbers: tree, offsets, shapes, densities and gains.

The joint offsets are the published rest joints of the neutral mean SMPL body in the upright frame (x forward, y left,
z up); shapes, densities and gains are PHC's. The model itself is generated from this table by ``smpl.py``.
"""

from __future__ import annotations

from typing import NamedTuple

Vec3 = tuple[float, float, float]


class BodyRow(NamedTuple):
    """One body: ``pos`` in its parent (m), ``geom`` in its own frame (m), ``density`` kg/m3, PD stiffness ``kp``."""

    name: str
    parent: str | None
    pos: Vec3
    shape: str  # sphere: pos, (radius,); capsule: from + to, (radius,); box: pos, half sizes
    geom_pos: tuple[float, ...]
    size: tuple[float, ...]
    density: float
    kp: float  # N m / rad; damping is kp / 10


SMPL_BODIES: tuple[BodyRow, ...] = (
    BodyRow("Pelvis", None, (-0.0018, -0.2233, 0.0282), "sphere", (0.0, 0.0, 0.0), (0.0942,), 4629.63, 0.0),
    BodyRow(
        "L_Hip",
        "Pelvis",
        (-0.0068, 0.0695, -0.0914),
        "capsule",
        (-0.0009, 0.0069, -0.075, -0.0036, 0.0274, -0.3002),
        (0.0615,),
        2040.82,
        800.0,
    ),
    BodyRow(
        "L_Knee",
        "L_Hip",
        (-0.0045, 0.0343, -0.3752),
        "capsule",
        (-0.0087, -0.0027, -0.0796, -0.035, -0.0109, -0.3184),
        (0.0541,),
        1234.57,
        800.0,
    ),
    BodyRow(
        "L_Ankle",
        "L_Knee",
        (-0.0437, -0.0136, -0.398),
        "box",
        (0.0242, 0.0233, -0.0239),
        (0.085, 0.0483, 0.0464),
        1000.0,
        800.0,
    ),
    BodyRow(
        "L_Toe",
        "L_Ankle",
        (0.1193, 0.0264, -0.0558),
        "box",
        (0.0248, -0.003, 0.0055),
        (0.0496, 0.0478, 0.02),
        1000.0,
        500.0,
    ),
    BodyRow(
        "R_Hip",
        "Pelvis",
        (-0.0043, -0.0677, -0.0905),
        "capsule",
        (-0.0018, -0.0077, -0.0765, -0.0071, -0.0306, -0.3061),
        (0.0606,),
        2040.82,
        800.0,
    ),
    BodyRow(
        "R_Knee",
        "R_Hip",
        (-0.0089, -0.0383, -0.3826),
        "capsule",
        (-0.0085, 0.0032, -0.0797, -0.0338, 0.0126, -0.3187),
        (0.0541,),
        1234.57,
        800.0,
    ),
    BodyRow(
        "R_Ankle",
        "R_Knee",
        (-0.0423, 0.0158, -0.3984),
        "box",
        (0.0256, -0.0212, -0.0174),
        (0.0865, 0.0483, 0.0478),
        1000.0,
        800.0,
    ),
    BodyRow(
        "R_Toe",
        "R_Ankle",
        (0.1233, -0.0254, -0.0481),
        "box",
        (0.0227, 0.0042, 0.0045),
        (0.0493, 0.0479, 0.0216),
        1000.0,
        500.0,
    ),
    BodyRow(
        "Torso",
        "Pelvis",
        (-0.0267, -0.0025, 0.109),
        "capsule",
        (0.0005, 0.0025, 0.0608, 0.0006, 0.003, 0.0743),
        (0.0769,),
        2040.82,
        1000.0,
    ),
    BodyRow(
        "Spine",
        "Torso",
        (0.0011, 0.0055, 0.1352),
        "capsule",
        (0.0114, 0.0007, 0.0238, 0.014, 0.0008, 0.0291),
        (0.0755,),
        2040.82,
        1000.0,
    ),
    BodyRow(
        "Chest",
        "Spine",
        (0.0254, 0.0015, 0.0529),
        "capsule",
        (-0.0173, -0.0009, 0.0682, -0.0212, -0.001, 0.0833),
        (0.1002,),
        2040.82,
        1000.0,
    ),
    BodyRow(
        "Neck",
        "Chest",
        (-0.0429, -0.0028, 0.2139),
        "capsule",
        (0.0103, 0.001, 0.013, 0.0411, 0.0041, 0.052),
        (0.0436,),
        1000.0,
        500.0,
    ),
    BodyRow("Head", "Neck", (0.0513, 0.0052, 0.065), "sphere", (0.0, 0.0, 0.0), (0.1011,), 1000.0, 500.0),
    BodyRow(
        "L_Thorax",
        "Chest",
        (-0.0341, 0.0788, 0.1217),
        "capsule",
        (-0.0018, 0.0182, 0.0061, -0.0071, 0.0728, 0.0244),
        (0.0521,),
        1000.0,
        500.0,
    ),
    BodyRow(
        "L_Shoulder",
        "L_Thorax",
        (-0.0089, 0.091, 0.0305),
        "capsule",
        (-0.0055, 0.0519, -0.0026, -0.022, 0.2077, -0.0102),
        (0.0517,),
        1000.0,
        500.0,
    ),
    BodyRow(
        "L_Elbow",
        "L_Shoulder",
        (-0.0275, 0.2596, -0.0128),
        "capsule",
        (-0.0002, 0.0498, 0.0018, -0.0009, 0.1994, 0.0072),
        (0.0405,),
        1000.0,
        500.0,
    ),
    BodyRow(
        "L_Wrist",
        "L_Elbow",
        (-0.0012, 0.2492, 0.009),
        "capsule",
        (-0.003, 0.0168, -0.0016, -0.012, 0.0672, -0.0065),
        (0.0318,),
        1000.0,
        300.0,
    ),
    BodyRow("L_Hand", "L_Wrist", (-0.0149, 0.084, -0.0082), "sphere", (0.0, 0.0, 0.0), (0.0337,), 1000.0, 300.0),
    BodyRow(
        "R_Thorax",
        "Chest",
        (-0.0386, -0.0818, 0.1188),
        "capsule",
        (-0.0018, -0.0192, 0.0065, -0.0073, -0.0768, 0.026),
        (0.0511,),
        1000.0,
        500.0,
    ),
    BodyRow(
        "R_Shoulder",
        "R_Thorax",
        (-0.0091, -0.096, 0.0326),
        "capsule",
        (-0.0043, -0.0507, -0.0027, -0.0171, -0.203, -0.0107),
        (0.0531,),
        1000.0,
        500.0,
    ),
    BodyRow(
        "R_Elbow",
        "R_Shoulder",
        (-0.0214, -0.2537, -0.0133),
        "capsule",
        (-0.0011, -0.0511, 0.0016, -0.0044, -0.2042, 0.0062),
        (0.0408,),
        1000.0,
        500.0,
    ),
    BodyRow(
        "R_Wrist",
        "R_Elbow",
        (-0.0056, -0.2553, 0.0078),
        "capsule",
        (-0.0021, -0.0169, -0.0012, -0.0083, -0.0677, -0.0049),
        (0.0326,),
        1000.0,
        300.0,
    ),
    BodyRow("R_Hand", "R_Wrist", (-0.0103, -0.0846, -0.0061), "sphere", (0.0, 0.0, 0.0), (0.034,), 1000.0, 300.0),
)

BODY_NAMES: tuple[str, ...] = tuple(row.name for row in SMPL_BODIES)
"""Depth-first order of the MJCF tree; every tensor with a body axis uses it."""

PARENTS: tuple[int, ...] = tuple(-1 if row.parent is None else BODY_NAMES.index(row.parent) for row in SMPL_BODIES)

# fmt: off
SMPL_JOINT_ORDER: tuple[str, ...] = (
    "Pelvis", "L_Hip", "R_Hip", "Torso", "L_Knee", "R_Knee", "Spine", "L_Ankle",
    "R_Ankle", "Chest", "L_Toe", "R_Toe", "Neck", "L_Thorax", "R_Thorax", "Head",
    "L_Shoulder", "R_Shoulder", "L_Elbow", "R_Elbow", "L_Wrist", "R_Wrist", "L_Hand", "R_Hand",
)
# fmt: on
"""The breadth-first order in which SMPL parameter files store their joints."""

PELVIS_OFFSET: Vec3 = SMPL_BODIES[0].pos
"""Pelvis joint of the mean body: world pelvis = file translation + this (m)."""

COLLISION_EXCLUDES: tuple[tuple[str, str], ...] = (
    ("L_Knee", "R_Ankle"),
    ("L_Knee", "R_Toe"),
    ("L_Knee", "L_Toe"),
    ("L_Toe", "R_Knee"),
    ("L_Ankle", "R_Knee"),
    ("R_Knee", "R_Toe"),
    ("Torso", "Chest"),
    ("Chest", "Head"),
)
"""Body pairs that may overlap, besides parent and child (PHC's collision masks written out)."""
