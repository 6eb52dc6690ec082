"""Rotations, skeletons, forward kinematics and skeleton motions in batched torch.

Quaternions are wxyz, lengths metres, angles radians, z is up. Nothing here knows of a simulator, of learning or of
files. The quaternion functions are in :mod:`poselib.rotations`.
"""

from poselib.motion import SkeletonMotion, angular_velocity, dof_velocity, gaussian_smooth, linear_velocity
from poselib.skeleton import Skeleton

__all__ = [
    "Skeleton",
    "SkeletonMotion",
    "angular_velocity",
    "dof_velocity",
    "gaussian_smooth",
    "linear_velocity",
]
