"""Measures of frames against loops written from their definitions, with scipy's rotations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from puffer_phc.config import Config
from puffer_phc.evaluation.measures import COLUMNS, FrameMeasures, skating_speed, soles_of
from puffer_phc.evaluation.metrics import clip_metrics
from puffer_phc.factory import make_robot
from puffer_phc.motions.contacts import feet_of
from puffer_phc.robots.state import BodyState

DT = 1 / 30
ROBOT = make_robot(Config())


def motion(rng, steps, envs, spread=0.02):
    """Bodies that wander about where feet touch the floor and leave it."""
    walk = rng.normal(0, spread, (steps, envs, ROBOT.num_bodies, 3)).cumsum(axis=0)
    pos = (walk + rng.normal(0, 0.3, (1, envs, ROBOT.num_bodies, 3))).astype(np.float32)
    feet = [body for foot in feet_of(ROBOT) for body in foot.bodies]
    pos[:, :, feet, 2] = rng.uniform(0.0, 0.12, (steps, envs, len(feet)))
    turns = Rotation.from_rotvec(rng.normal(0, 0.4, (steps * envs * ROBOT.num_bodies, 3))).as_quat()
    rot = turns[:, [3, 0, 1, 2]].reshape(steps, envs, ROBOT.num_bodies, 4).astype(np.float32)
    return pos, rot


def measured(own, ref):
    envs = own[0].shape[1]
    measures = FrameMeasures(ROBOT, envs, DT, torch.device("cpu"))
    for step in range(len(own[0])):
        states = [BodyState(torch.tensor(p[step]), torch.tensor(r[step]), *torch.zeros(2, 1)) for p, r in (own, ref)]
        measures.add(*states)
    return measures.result().numpy().astype(float)


def points_of(foot, pos, rot):
    """World places (P, 3) and lowest heights (P,) of one foot's points in one frame."""
    places, heights = [], []
    for point in foot.points.tolist():
        body = int(ROBOT.geoms.body[point])
        w, x, y, z = rot[body]
        place = Rotation.from_quat([x, y, z, w]).apply(ROBOT.geoms.point[point].numpy()) + pos[body]
        places.append(place)
        heights.append(place[2] - float(ROBOT.geoms.radius[point]))
    return np.array(places), np.array(heights)


def oracle(own, ref, env):
    """The measures of one environment, one frame at a time."""
    (pos, rot), (ref_pos, ref_rot) = ((p[:, env].astype(float), r[:, env].astype(float)) for p, r in (own, ref))
    out = {name: [] for name in ("rot_error", "root_drift", "jerk", "jerk_ref", "contact", "foot_skate")}
    standing = []
    for t in range(len(pos)):
        angles = []
        for a, b in zip(rot[t], ref_rot[t], strict=True):
            angles.append((Rotation.from_quat(b[[1, 2, 3, 0]]) * Rotation.from_quat(a[[1, 2, 3, 0]]).inv()).magnitude())
        out["rot_error"].append(np.mean(angles))
        out["root_drift"].append(1000 * np.hypot(*(pos[t, 0, :2] - ref_pos[t, 0, :2])))
        feet = [points_of(foot, pos[t], rot[t]) for foot in feet_of(ROBOT)]
        others = [points_of(foot, ref_pos[t], ref_rot[t]) for foot in feet_of(ROBOT)]
        out["contact"].append(np.mean([(a[1].min() <= 0.01) == (b[1].min() <= 0.01) for a, b in zip(feet, others)]))  # noqa: B905
        standing.append(feet)
    for name, path in (("jerk", pos), ("jerk_ref", ref_pos)):
        for t in range(3, len(path)):
            third = path[t] - 3 * path[t - 1] + 3 * path[t - 2] - path[t - 3]
            out[name].append(np.mean([np.linalg.norm(body) for body in third]) / DT**3)
    for t in range(1, len(pos)):
        for (before, low), (after, low_after) in zip(standing[t - 1], standing[t], strict=True):
            speeds = [
                1000 * np.hypot(*(after[p] - before[p])[:2]) / DT
                for p in range(len(before))
                if low[p] <= 0.01 and low_after[p] <= 0.01
            ]
            out["foot_skate"] += [np.mean(speeds)] if speeds else []
    return out


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 2, 5]), st.integers(1, 2))
def test_against_loops(seed, steps, envs):
    rng = np.random.default_rng(seed)
    own, ref = motion(rng, steps, envs), motion(rng, steps, envs)
    found = measured(own, ref)
    for env in range(envs):
        metrics = clip_metrics(found[env], len(soles_of(ROBOT)))
        for name, values in oracle(own, ref, env).items():
            np.testing.assert_allclose(np.sort(metrics[name]), np.sort(values), rtol=2e-3, atol=1e-3, err_msg=name)
        assert metrics["root_drift_final"] == metrics["root_drift"][-1:]


def test_blocks_leave_no_seam():
    """More steps than a block holds: differences look across its border."""
    own, ref = (motion(np.random.default_rng(seed), 150, 1) for seed in (1, 2))
    found = clip_metrics(measured(own, ref)[0], 2)
    error = own[0][:, 0].astype(float) - ref[0][:, 0].astype(float)
    for name, order, scale in (("mpjpe_g", 0, 1e3), ("vel_dist", 1, 1e3), ("accel_dist", 2, 1e3)):
        expected = scale * np.linalg.norm(np.diff(error, order, axis=0), axis=-1).mean(axis=-1)
        np.testing.assert_allclose(found[name], expected, rtol=1e-3)
    jerk = np.linalg.norm(np.diff(own[0][:, 0].astype(float), 3, axis=0), axis=-1).mean(axis=-1) / DT**3
    np.testing.assert_allclose(found["jerk"], jerk, rtol=1e-3)


def test_skating_by_hand():
    """Two points: one stands still throughout, one slides 1 cm and then leaves the floor."""
    place = torch.zeros(3, 2, 2, 1)
    place[1:, 0, 1] = 0.01
    touching = torch.tensor([[True, True], [True, True], [False, False]])[..., None]
    speed = skating_speed(place, touching, 0.1)[:, 0]
    assert speed[0].item() == pytest.approx(50.0)  # the mean of 0 and 100 mm/s
    assert speed[1].isnan()


def test_what_blew_up_stays_finite():
    own, ref = motion(np.random.default_rng(0), 4, 1), motion(np.random.default_rng(1), 4, 1)
    own[0][2], own[1][2] = np.nan, np.inf
    assert np.isfinite(measured(own, ref)[:, : len(COLUMNS)]).all()
