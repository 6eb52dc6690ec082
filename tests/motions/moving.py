"""Motions with known faults, made from the bundled walk."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from poselib.rotations import exp_map_to_quat, quat_mul, quat_rotate
from puffer_phc.motions.loading import load_motions
from puffer_phc.robots.smpl import smpl_robot

ROOT = Path(__file__).resolve().parents[2]


@cache
def robot():
    return smpl_robot()


@cache
def walk():
    """Six seconds of planted steps on z = 0."""
    (clip,) = load_motions(ROOT / "sample_data" / "walk.npz")
    return clip


@cache
def few_steps():
    """The first seconds of it, where a test needs no more."""
    return replace(walk(), root_pos=walk().root_pos[:90], local_rot=walk().local_rot[:90])


def shifted(clip, x=0.0, y=0.0, z=0.0):
    return replace(clip, root_pos=clip.root_pos + torch.tensor((x, y, z), dtype=torch.float64))


def drifting(clip, speed):
    """The whole body slides along x at ``speed`` m/s."""
    drift = torch.arange(clip.num_frames, dtype=torch.float64) / clip.fps * speed
    return replace(clip, root_pos=clip.root_pos + torch.nn.functional.pad(drift[:, None], (0, 2)))


def turned(clip, yaw):
    """The whole motion turned about the vertical through the origin."""
    turn = exp_map_to_quat(torch.tensor((0.0, 0.0, yaw), dtype=torch.float64))
    rot = clip.local_rot.clone()
    rot[:, 0] = quat_mul(turn.expand(len(rot), 4), rot[:, 0])
    return replace(clip, root_pos=quat_rotate(turn, clip.root_pos), local_rot=rot)


def with_turn(clip, body, frames, vector):
    """One body turned by a rotation vector (rad) in some frames."""
    rot = clip.local_rot.clone()
    index = clip.body_names.index(body)
    rot[frames, index] = quat_mul(
        rot[frames, index], exp_map_to_quat(torch.tensor(vector, dtype=torch.float64)).expand(len(rot[frames]), 4)
    )
    return replace(clip, local_rot=rot)


def positions(clip):
    return robot().skeleton.forward_kinematics(clip.root_pos, clip.local_rot)[0]


def far(a, b):
    """Largest distance between two clips' bodies, m."""
    return float((positions(a) - positions(b)).norm(dim=-1).max())
