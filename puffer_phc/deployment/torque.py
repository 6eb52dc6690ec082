"""How much a performance asks of the motors. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from puffer_phc.deployment.metadata import RobotInfo
from puffer_phc.deployment.plant import Plant


@dataclass(frozen=True)
class Torque:
    """Joint torques of one performance.

    Attributes:
        mean: N m, over joints and physics steps, absolute.
        peak: N m, the largest of all.
        peak_dof: the joint that it belongs to.
        limited: joints with a limit.
        over: share of the time that any of these spends at or above its limit, the worst joint's.
        over_dof: that joint; empty where no joint has a limit.
    """

    mean: float
    peak: float
    peak_dof: str
    limited: int
    over: float
    over_dof: str


def torque_of(plant: Plant, robot: RobotInfo) -> Torque:
    """Since the last reset of ``plant``."""
    steps = max(plant.torque_steps, 1)
    limited = [dof for dof, limit in enumerate(robot.torque_limit) if limit is not None]
    worst = max(limited, key=lambda dof: int(plant.torque_over[dof])) if limited else None
    peak = int(np.argmax(plant.torque_peak))
    return Torque(
        mean=float(plant.torque_sum.mean()) / steps,
        peak=float(plant.torque_peak[peak]),
        peak_dof=robot.dof_names[peak],
        limited=len(limited),
        over=0.0 if worst is None else float(plant.torque_over[worst]) / steps,
        over_dof="" if worst is None else robot.dof_names[worst],
    )


def worst_torque(torques: Sequence[Torque]) -> Torque:
    """Of several performances: the mean of means, and the worst of the rest."""
    peak, over = max(torques, key=lambda torque: torque.peak), max(torques, key=lambda torque: torque.over)
    mean = sum(torque.mean for torque in torques) / len(torques)
    return Torque(mean, peak.peak, peak.peak_dof, over.limited, over.over, over.over_dof)


def torque_lines(torque: Torque) -> list[str]:
    """For a report."""
    lines = [f"  joint torque: mean {torque.mean:.1f} N m, largest {torque.peak:.0f} N m ({torque.peak_dof})"]
    if not torque.limited:
        return [*lines, "  this robot has no torque limits"]
    share = f"{torque.over:.1%} of the time ({torque.over_dof}, the worst joint)"
    return [*lines, f"  at or above the torque limit: {share}"]
