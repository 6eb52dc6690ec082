"""Measurements of clips whose faults are known."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_phc.errors import InputError
from puffer_phc.motions.quality import Bars, measure
from tests.motions.clips import random_clip
from tests.motions.moving import drifting, robot, shifted, turned, walk, with_turn


def test_a_planted_walk_is_good():
    quality = measure(walk(), robot())
    assert quality.verdict == "use"
    assert quality.reasons == ()
    assert quality.penetration_p99 < 0.002
    assert quality.floating < 0.002
    assert quality.skate < 0.01
    assert quality.unsupported == 0
    assert (quality.duplicated, quality.dropped) == (0, 0)
    assert quality.duration == pytest.approx((walk().num_frames - 1) / 30)


@pytest.mark.parametrize("depth", [0.02, 0.1])
def test_sunk(depth):
    quality = measure(shifted(walk(), z=-depth), robot())
    assert quality.penetration_p50 == pytest.approx(depth, abs=0.002)
    assert quality.penetration_p99 == pytest.approx(depth, abs=0.002)
    assert quality.verdict == "fixable"
    assert f"sinks {100 * depth:.1f} cm" in quality.reasons[0]


def test_floating():
    quality = measure(shifted(walk(), z=0.07), robot())
    assert quality.floating == pytest.approx(0.07, abs=0.002)
    assert quality.reasons == ("floats 7.0 cm above the floor",)


@pytest.mark.parametrize("speed", [0.2, 0.5])
def test_skating(speed):
    quality = measure(drifting(walk(), speed), robot())
    assert quality.skate == pytest.approx(speed, rel=0.1)
    assert any("skate" in reason for reason in quality.reasons)


def test_skate_is_unknown_without_contact():
    quality = measure(replace(walk(), root_pos=walk().root_pos * torch.tensor((1.0, 1.0, 0.0)).double()), robot())
    up = torch.linspace(0.0, 8.0, walk().num_frames, dtype=torch.float64)
    flying = replace(walk(), root_pos=walk().root_pos + torch.nn.functional.pad(up[:, None], (2, 0)))
    assert math.isfinite(quality.skate)
    assert measure(flying, robot()).unsupported > 1.0


def test_a_flip_of_one_frame():
    quality = measure(with_turn(walk(), "L_Elbow", slice(40, 41), (0.0, 3.0, 0.0)), robot())
    assert quality.joint_speed_max == pytest.approx(90, abs=5)
    assert quality.fastest in ("L_Elbow at 1.30 s", "L_Elbow at 1.33 s")
    assert "turns at" in quality.reasons[0]


def test_duplicated_and_dropped_frames():
    moving = drifting(walk(), 2.0)
    keep = [*range(50), 49, *range(50, 80), *range(86, moving.num_frames)]
    quality = measure(replace(moving, root_pos=moving.root_pos[keep], local_rot=moving.local_rot[keep]), robot())
    assert (quality.duplicated, quality.dropped) == (1, 1)


def hopping(height):
    """Standing, then in the air at ``height`` (T,) m for the middle of the clip."""
    still = replace(walk(), root_pos=walk().root_pos[:1].repeat(90, 1), local_rot=walk().local_rot[:1].repeat(90, 1, 1))
    lift = torch.zeros(90, dtype=torch.float64)
    lift[30 : 30 + len(height)] = height
    return replace(still, root_pos=still.root_pos + torch.nn.functional.pad(lift[:, None], (2, 0)))


def test_hanging_in_the_air_is_rejected_and_jumping_is_not():
    hanging = measure(hopping(torch.full((40,), 0.4, dtype=torch.float64)), robot())
    assert hanging.unsupported == pytest.approx(40 / 30, abs=0.1)
    assert hanging.verdict == "reject"
    time = torch.linspace(0.0, 1.2, 37, dtype=torch.float64)
    assert measure(hopping(0.5 * 9.81 * time * (1.2 - time)), robot()).unsupported == 0


def test_self_collision():
    # Both legs turned inwards, into each other.
    crossed = with_turn(with_turn(walk(), "L_Hip", slice(0, 90), (-0.5, 0, 0)), "R_Hip", slice(0, 90), (0.5, 0, 0))
    assert measure(crossed, robot()).self_collision > measure(walk(), robot()).self_collision + 0.2


@settings(deadline=None, max_examples=6)
@given(st.floats(-3.1, 3.1), st.floats(-20, 20), st.floats(-20, 20))
def test_place_and_heading_do_not_matter(yaw, x, y):
    a = measure(drifting(walk(), 0.1), robot(), collision_stride=1000)
    b = measure(shifted(turned(drifting(walk(), 0.1), yaw), x, y), robot(), collision_stride=1000)
    for name in ("penetration_p99", "floating", "skate", "joint_speed_max", "body_speed_max", "jerk"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), abs=1e-6)


def test_bars_and_refusals():
    assert measure(walk(), robot(), Bars(body_speed=0.1)).verdict == "reject"
    with pytest.raises(InputError):
        measure(random_clip(body_names=("a", "b")), robot())
    with pytest.raises(ValueError, match="too few"):
        measure(replace(walk(), root_pos=walk().root_pos[:3], local_rot=walk().local_rot[:3]), robot())
