"""Puts a clip of a robot on the floor: contacts are found, feet planned, and the whole body fitted to them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from poselib.motion import gaussian_smooth
from puffer_phc.motions.bending import dof_limits
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.contacts import Contacts, Foot, feet_of, find_contacts
from puffer_phc.motions.feet import plan_feet
from puffer_phc.motions.fitting import fit
from puffer_phc.motions.joint_maps import Anatomy
from puffer_phc.motions.quality import shape_points
from puffer_phc.robots.joints import REST, joint_rows
from puffer_phc.robots.robot import Robot

_HYPEREXTENSION = 0.05  # rad
_LIFT_S = 0.07  # over which the whole body is lifted; the fit does the rest


def plant(clip: MotionClip, robot: Robot, parts: Anatomy) -> MotionClip:
    """The clip on the floor z = 0, its feet still where they stand, nothing below the floor.

    Args:
        clip: a motion of the robot's bodies.
        robot: the robot.
        parts: its limbs.
    """
    feet = feet_of(robot)
    body_pos, body_rot = robot.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)
    points = shape_points(robot, body_pos, body_rot)
    contacts = find_contacts(feet, points, clip.fps)
    lift = _lift(robot, feet, contacts, points, clip.fps)
    paths = plan_feet(robot, feet, contacts, body_pos + lift[:, None], body_rot, clip.fps)
    limits = joint_limits(robot, parts)
    root_pos, local_rot = fit(robot, clip.root_pos + lift, clip.local_rot, feet, paths, limits)
    return replace(clip, root_pos=root_pos, local_rot=local_rot)


def _lift(robot: Robot, feet: list[Foot], contacts: Contacts, points: Tensor, fps: float) -> Tensor:
    """Vectors (T, 3) m that bring the floor to z = 0 and lift the whole body where no foot stands but a part sinks."""
    own = torch.cat([foot.points for foot in feet])
    others = torch.ones(points.shape[1], dtype=torch.bool)
    others[own] = False
    standing = (contacts.heel | contacts.ball).any(dim=1)
    depth = (contacts.floor - points[:, others, 2].amin(dim=1)).clamp_min(0.0)
    missing = torch.where(standing, torch.zeros_like(depth), depth)
    radius = max(1, round(_LIFT_S * fps))
    height = gaussian_smooth(missing, sigma=radius) - contacts.floor
    return torch.nn.functional.pad(height[:, None], (2, 0))


def joint_limits(robot: Robot, parts: Anatomy) -> tuple[Tensor, Tensor]:
    """Lowest and highest exponential-map components (B, 3) rad: knees that bend one way only, and hinges.

    Hinges count that turn about an axis of their body. Elbows that are ball joints have no limit here: next to the
    forearm's twist the components of a rotation vector do not show their bend.
    """
    low = torch.full((robot.num_bodies, 3), -torch.inf, dtype=torch.float64)
    high = torch.full((robot.num_bodies, 3), torch.inf, dtype=torch.float64)
    if robot.joints.all_balls:
        for shin in parts.shin.values():
            low[shin, 1] = -_HYPEREXTENSION  # flexion is positive about y, to the left
        return low, high
    dof, (lowest, highest) = 0, dof_limits(robot)
    for body, row in enumerate(joint_rows(robot.model), start=1):
        width = 3 if row.ball else len(row.axes)
        if width == 1 and row.rest == REST and max(row.axes[0]) == 1.0:
            low[body] = high[body] = 0.0
            axis = row.axes[0].index(1.0)
            low[body, axis], high[body, axis] = lowest[dof], highest[dof]
        dof += width
    return low, high
