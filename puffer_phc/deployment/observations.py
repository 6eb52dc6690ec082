"""What a policy sees, in NumPy: one function for each layout, found by the name that the metadata give.

A new layout is one function from a model and the metadata to an observer, and one line in :data:`LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np

from puffer_phc.deployment.metadata import Block, Metadata
from puffer_phc.deployment.rotations import heading_angle, quat_conj, quat_to_tan_norm, unturn, unturn_rotations
from puffer_phc.deployment.sight import Bodies, Observer, Sight
from puffer_phc.deployment.style import style_observer
from puffer_phc.errors import InputError
from puffer_phc.quaternions import Array, quat_mul


def make_observer(model: mujoco.MjModel, metadata: Metadata) -> Observer:
    """What builds the observation that the policy was trained with.

    Raises:
        InputError: its layout is not known here, or gives another number of values than the policy takes.
    """
    layout = metadata.observation.layout
    if layout not in LAYOUTS:
        raise InputError(f"observation layout {layout!r}", "is not known here", f"use one of {', '.join(LAYOUTS)}")
    size, blocks = metadata.observation.size, sum(block.size for block in metadata.observation.blocks)
    if blocks != size:
        raise InputError(
            f"observation layout {layout!r}", f"has {blocks} numbers, the policy takes {size}", "export it again"
        )
    return LAYOUTS[layout](model, metadata)


def tracking_observer(model: mujoco.MjModel, metadata: Metadata) -> Observer:
    """The 39 B - 2 numbers of ``puffer_phc.envs.observations.observation``, 934 for 24 bodies."""

    def observe(sight: Sight) -> Array:
        if sight.reference is None:
            raise ValueError("tracking is observed with a reference")
        return tracking_observation(sight.bodies, sight.reference)

    return observe


def tracking_blocks(bodies: int) -> tuple[Block, ...]:
    """Names and sizes of the parts of :func:`tracking_observation` for ``bodies`` bodies, in order."""
    return (
        Block("root_height", 1),
        Block("body_pos", 3 * bodies - 3),
        Block("body_rot", 6 * bodies),
        Block("body_vel", 3 * bodies),
        Block("body_ang_vel", 3 * bodies),
        Block("pos_difference", 3 * bodies),
        Block("rot_difference", 6 * bodies),
        Block("vel_difference", 3 * bodies),
        Block("ang_vel_difference", 3 * bodies),
        Block("reference_pos", 3 * bodies),
        Block("reference_rot", 6 * bodies),
    )


def tracking_observation(bodies: Bodies, reference: Bodies) -> Array:
    """Own state and the reference one control step ahead, (N, 39 B - 2), all in the root's heading frame."""
    yaw = heading_angle(bodies.rot[:, 0])
    own, wanted = unturn_rotations(bodies.rot, yaw), unturn_rotations(reference.rot, yaw)
    root = bodies.pos[:, :1]
    parts = (
        bodies.pos[:, 0, 2:],
        unturn(bodies.pos[:, 1:] - root, yaw),
        quat_to_tan_norm(own),
        unturn(bodies.vel, yaw),
        unturn(bodies.ang_vel, yaw),
        unturn(reference.pos - bodies.pos, yaw),
        quat_to_tan_norm(quat_mul(wanted, quat_conj(own))),
        unturn(reference.vel - bodies.vel, yaw),
        unturn(reference.ang_vel - bodies.ang_vel, yaw),
        unturn(reference.pos - root, yaw),
        quat_to_tan_norm(wanted),
    )
    return np.concatenate([part.reshape(len(yaw), -1) for part in parts], axis=1)


TRACKING, STYLE = "tracking", "style"
LAYOUTS: dict[str, Callable[[mujoco.MjModel, Metadata], Observer]] = {
    TRACKING: tracking_observer,
    STYLE: style_observer,
}
"""Makers of observers by layout name."""
