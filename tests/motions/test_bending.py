"""Poses of ball joints brought to a robot with hinges, and motions carried between robots."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from poselib.rotations import quat_mul
from puffer_phc.config import ROOT
from puffer_phc.motions.bending import bend, dof_limits
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.retargeting import transfer
from puffer_phc.motions.same_body import on_robot
from puffer_phc.robots.amp_humanoid import amp_humanoid_robot
from puffer_phc.robots.smpl import smpl_robot
from tests.motions.moving import few_steps, with_turn

AMP, SMPL = amp_humanoid_robot(), smpl_robot()
WALK = load_motions(ROOT / "sample_data" / "walk.npz")[0]


def random_clip(frames=6):
    """Poses that the humanoid can make."""
    rng = np.random.default_rng(0)
    low, high = (limit.clamp(-0.8, 0.8) for limit in dof_limits(AMP))
    dofs = low + (high - low) * torch.from_numpy(rng.uniform(0.1, 0.9, (frames, 28)))
    root = torch.tensor([1.0, 0, 0, 0]).double().expand(frames, 4)
    return MotionClip("c", 30.0, AMP.body_names, torch.zeros(frames, 3).double(), AMP.local_rot_from_dof(root, dofs))


def places(clip, robot):
    return robot.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)[0]


def test_what_is_possible_stays():
    clip = random_clip()
    bent = bend(clip, AMP)
    torch.testing.assert_close(places(bent, AMP), places(clip, AMP), rtol=0, atol=1e-6)


def test_a_knee_turned_sideways_is_made_up_for_by_the_hip():
    """The shin swings out by 0.3 rad: the foot, half a metre below, would be 12 cm away if that were just left out."""
    clip = random_clip()
    shin, foot = AMP.body_ids(("right_shin", "right_foot"))
    local = clip.local_rot.clone()
    swing = torch.tensor([np.cos(0.15), np.sin(0.15), 0, 0]).double()
    local[:, shin] = quat_mul(local[:, shin], swing.expand(len(local), 4))
    wrong = replace(clip, local_rot=local)
    left_out = on_robot(wrong, AMP)
    bent = bend(wrong, AMP)
    dofs = AMP.dof_from_local_rot(bent.local_rot)
    torch.testing.assert_close(AMP.local_rot_from_dof(bent.local_rot[:, 0], dofs), bent.local_rot)
    wanted = places(wrong, AMP)[:, foot]
    assert (places(left_out, AMP)[:, foot] - wanted).norm(dim=-1).min() > 0.1
    assert (places(bent, AMP)[:, foot] - wanted).norm(dim=-1).max() < 0.03


def test_smpls_walk_on_the_humanoid_and_back():
    there = transfer(WALK, AMP)
    low, high = dof_limits(AMP)
    dofs = AMP.dof_from_local_rot(there.local_rot)
    assert (dofs >= low - 1e-9).all()
    assert (dofs <= high + 1e-9).all()
    ankles = places(WALK, SMPL)[:, SMPL.body_ids(("L_Ankle", "R_Ankle"))]
    hips = places(WALK, SMPL)[:, SMPL.body_ids(("L_Hip", "R_Hip"))].mean(dim=1, keepdim=True)
    mine = places(there, AMP)[:, AMP.body_ids(("left_foot", "right_foot"))]
    my_hips = places(there, AMP)[:, AMP.body_ids(("left_thigh", "right_thigh"))].mean(dim=1, keepdim=True)
    scale = 0.831416 / 0.7785  # leg lengths
    assert (mine - my_hips - scale * (ankles - hips)).norm(dim=-1).mean() < 0.03
    back = transfer(there, SMPL)
    assert back.body_names == SMPL.body_names
    again = places(back, SMPL)[:, SMPL.body_ids(("L_Ankle", "R_Ankle"))]
    assert (again - ankles).norm(dim=-1).mean() < 0.04


def test_hands_are_where_smpls_are_seen_from_the_shoulder():
    """Forearms turned up by a radian, which only a ball does: on the humanoid, the upper arm twists instead."""
    clip = with_turn(few_steps(), "L_Elbow", slice(None), (1.0, 0.0, 0.0))
    clip = with_turn(clip, "R_Elbow", slice(None), (-1.0, 0.0, 0.0))
    mine, source, scale = places(transfer(clip, AMP), AMP), places(clip, SMPL), 0.831416 / 0.7785
    for side, letter in (("left", "L"), ("right", "R")):
        arm = AMP.body_ids([f"{side}_{part}" for part in ("upper_arm", "lower_arm", "hand")])
        theirs = SMPL.body_ids([f"{letter}_{part}" for part in ("Shoulder", "Elbow", "Wrist")])
        wanted = scale * (source[:, theirs[1:]] - source[:, theirs[:1]])
        assert (mine[:, arm[1:]] - mine[:, arm[:1]] - wanted).norm(dim=-1).mean() < 0.03


def test_balls_are_left_alone():
    assert bend(WALK, SMPL) is WALK
    with pytest.raises(Exception, match="24 bodies where the robot has 15"):
        on_robot(WALK, AMP)
