import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from puffer_phc.evaluation.metrics import (
    POSITION_METRICS,
    ClipResult,
    procrustes_align,
    rotation_error,
    summarize,
    tracking_metrics,
)

# Whole millimetres: distinct joints are at least 1 mm apart, as far as a tracked body is from a rounding error.
positions = arrays(
    np.int64, st.tuples(st.integers(1, 5), st.integers(1, 6), st.just(3)), elements=st.integers(-3000, 3000)
)
vectors = arrays(np.float64, 3, elements=st.floats(-2.0, 2.0))


def random_clip(frames=12, joints=24, seed=0):
    rng = np.random.default_rng(seed)
    ref = rng.normal(size=(frames, joints, 3))
    return ref + 0.05 * rng.normal(size=ref.shape), ref


def oracle(pred, ref):
    """PHC's definitions written frame by frame, with scipy's rotation fit for the aligned error."""
    out = {key: [] for key in POSITION_METRICS}
    for p, r in zip(pred, ref, strict=True):
        out["mpjpe_g"].append(np.mean([math.dist(a, b) for a, b in zip(p, r, strict=True)]))
        p, r = p - p[0], r - r[0]
        out["mpjpe_l"].append(np.mean([math.dist(a, b) for a, b in zip(p, r, strict=True)]))
        p, centre = p - p.mean(axis=0), r.mean(axis=0)
        rotation, _ = Rotation.align_vectors(r - centre, p)
        turned = rotation.apply(p)
        scale = np.sum(turned * (r - centre)) / np.sum(turned**2)
        aligned = scale * turned + centre
        out["mpjpe_pa"].append(np.mean([math.dist(a, b) for a, b in zip(aligned, r, strict=True)]))
    for key, order in (("vel_dist", 1), ("accel_dist", 2)):
        out[key] = np.linalg.norm(np.diff(pred, order, axis=0) - np.diff(ref, order, axis=0), axis=-1).mean(axis=-1)
    return {key: 1000.0 * np.asarray(value) for key, value in out.items()}


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_an_independent_implementation(seed):
    pred, ref = random_clip(seed=seed)
    expected = oracle(pred, ref)
    for key, value in tracking_metrics(pred, ref).items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-9, atol=1e-9, err_msg=key)


def test_mirrored_pose_is_not_aligned_by_a_reflection():
    _, ref = random_clip(frames=3)
    pred = ref * np.array([1.0, -1.0, 1.0])
    found = tracking_metrics(pred, ref)["mpjpe_pa"]
    np.testing.assert_allclose(found, oracle(pred, ref)["mpjpe_pa"])
    assert (found > 100.0).all()


def test_hand_computed_two_joints():
    ref = np.zeros((3, 2, 3))
    ref[:, 1, 2] = 1.0
    pred = ref.copy()
    pred[1, :, 0] += 0.3  # both joints 300 mm aside in frame 1
    pred[2, 1, 2] += 0.1  # head 100 mm high in frame 2
    found = tracking_metrics(pred, ref)
    np.testing.assert_allclose(found["mpjpe_g"], [0, 300, 50], atol=1e-9)
    np.testing.assert_allclose(found["mpjpe_l"], [0, 0, 50], atol=1e-9)
    np.testing.assert_allclose(found["mpjpe_pa"], [0, 0, 0], atol=1e-9)  # a longer stick is a scaled stick
    np.testing.assert_allclose(found["vel_dist"], [300, (300 + math.hypot(300, 100)) / 2])
    np.testing.assert_allclose(found["accel_dist"], [(600 + math.hypot(600, 100)) / 2])


@pytest.mark.parametrize("convert", [np.float32, np.float64, torch.float32, torch.float64])
def test_takes_numpy_and_torch_and_returns_float64(convert):
    pred, ref = random_clip()
    if isinstance(convert, torch.dtype):
        given_pred, given_ref = (torch.tensor(x, dtype=convert, requires_grad=True) for x in (pred, ref))
    else:
        given_pred, given_ref = pred.astype(convert), ref.astype(convert)
    expected = tracking_metrics(pred, ref)
    for key, value in tracking_metrics(given_pred, given_ref).items():
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, expected[key], rtol=1e-4, err_msg=key)


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_short_clips_have_empty_differences(frames):
    found = tracking_metrics(*random_clip(frames=frames))
    assert [len(found[key]) for key in POSITION_METRICS] == [frames] * 3 + [max(frames - 1, 0), max(frames - 2, 0)]


@pytest.mark.parametrize("case", ["point", "source point", "target point", "collinear", "planar", "one joint"])
def test_degenerate_poses_are_finite(case):
    pred, ref = random_clip(frames=4, joints=1 if case == "one joint" else 24)
    if case in ("point", "source point"):
        pred[:] = 0.7
    if case in ("point", "target point"):
        ref[:] = -1.3
    if case == "collinear":
        pred, ref = pred * [1, 0, 0], ref * [0, 0, 1]
    if case == "planar":
        pred, ref = pred * [1, 1, 0], ref * [0, 1, 1]
    found = tracking_metrics(pred, ref)
    assert all(np.isfinite(value).all() for value in found.values())
    # Aligning never does worse than putting every joint on the reference's centre, in the sum of squares.
    centre = ref.mean(axis=1, keepdims=True)
    left = ((procrustes_align(pred, ref) - ref) ** 2).sum()
    assert left <= ((ref - centre) ** 2).sum() + 1e-12


@pytest.mark.parametrize(
    ("pred", "ref", "words"),
    [
        (np.zeros((4, 2, 3)), np.zeros((5, 2, 3)), "must have one shape"),
        (np.zeros((4, 3)), np.zeros((4, 3)), "must have one shape"),
        (np.zeros((4, 0, 3)), np.zeros((4, 0, 3)), "must have one shape"),
        (np.full((4, 2, 3), np.nan), np.zeros((4, 2, 3)), "pred has a value that is not finite in frame 0"),
    ],
)
def test_wrong_input_is_told(pred, ref, words):
    with pytest.raises(ValueError, match=words):
        tracking_metrics(pred, ref)


@settings(max_examples=60, deadline=None)
@given(positions, vectors, vectors, st.floats(0.2, 5.0))
def test_aligned_error_ignores_similarity_transforms(millimetres, rotvec, shift, scale):
    ref = millimetres * 1e-3
    pred = np.roll(ref, 1, axis=0)[:, ::-1]  # some other pose
    moved = scale * pred @ Rotation.from_rotvec(rotvec).as_matrix().T + shift
    before, after = tracking_metrics(pred, ref)["mpjpe_pa"], tracking_metrics(moved, ref)["mpjpe_pa"]
    # Poses whose best rotation is not unique may keep another of the equally good ones; the squared error is unique.
    squared = [((procrustes_align(x, ref) - ref) ** 2).sum(axis=(1, 2)) for x in (pred, moved)]
    np.testing.assert_allclose(squared[0], squared[1], atol=1e-9)
    unique = np.linalg.svd(_covariance(pred, ref), compute_uv=False)[:, 1] > 1e-3
    unique &= np.abs(_gap(pred, ref)) > 1e-3
    np.testing.assert_allclose(before[unique], after[unique], atol=1e-4)


def _covariance(pred, ref):
    return np.swapaxes(ref - ref.mean(axis=1, keepdims=True), 1, 2) @ (pred - pred.mean(axis=1, keepdims=True))


def _gap(pred, ref):
    """Distance from a tie between two rotations: the weakest two singular values with the reflection's sign."""
    covariance = _covariance(pred, ref)
    singular = np.linalg.svd(covariance, compute_uv=False)
    return singular[:, 1] + np.sign(np.linalg.det(covariance)) * singular[:, 2]


@settings(max_examples=60, deadline=None)
@given(positions)
def test_equal_motions_have_no_error(millimetres):
    ref = millimetres * 1e-3
    for key, value in tracking_metrics(ref, ref).items():
        np.testing.assert_allclose(value, 0.0, atol=1e-9, err_msg=key)


@settings(max_examples=60, deadline=None)
@given(positions, vectors)
def test_translation_moves_only_the_global_error(millimetres, shift):
    ref = millimetres * 1e-3
    found = tracking_metrics(ref + shift, ref)
    np.testing.assert_allclose(found["mpjpe_g"], 1000 * np.linalg.norm(shift), atol=1e-9)
    for key in ("mpjpe_l", "mpjpe_pa", "vel_dist", "accel_dist"):
        np.testing.assert_allclose(found[key], 0.0, atol=1e-9, err_msg=key)


@settings(max_examples=40, deadline=None)
@given(positions)
def test_errors_are_never_negative(millimetres):
    ref = millimetres * 1e-3
    for value in tracking_metrics(ref[::-1], ref).values():
        assert (value >= 0.0).all()


def test_rotation_error_is_the_mean_angle():
    rng = np.random.default_rng(0)
    ref = Rotation.random(12, rng)
    turn = Rotation.from_rotvec(rng.normal(size=(12, 3)))
    pred = (turn * ref).as_quat(scalar_first=True).reshape(4, 3, 4)
    pred[0] *= -1.0  # the same rotations
    found = rotation_error(torch.tensor(pred), ref.as_quat(scalar_first=True).reshape(4, 3, 4))
    np.testing.assert_allclose(found, turn.magnitude().reshape(4, 3).mean(axis=1), atol=1e-12)
    with pytest.raises(ValueError, match="one shape"):
        rotation_error(np.zeros((4, 3, 3)), np.zeros((4, 3, 3)))


def clip(name, errors, success, **more):
    errors = np.asarray(errors, dtype=np.float64)
    metrics = {key: errors + i for i, key in enumerate(POSITION_METRICS)}
    return ClipResult(name, frames=10, played_steps=len(errors), success=success, metrics=metrics | more)


def test_summary_weighs_frames_and_separates_successes():
    summary = summarize([clip("a", [10, 20, 30], True), clip("b", [100], False), clip("c", [40], True)])
    assert summary["success_rate"] == pytest.approx(2 / 3)
    assert summary["mpjpe_all"] == pytest.approx(40)
    assert summary["mpjpel_all"] == pytest.approx(41)
    assert summary["mpjpe_succ"] == pytest.approx(25)
    assert summary["mpjpel_succ"] == pytest.approx(26)
    assert [summary[key] for key in ("mpjpe_pa", "vel_dist", "accel_dist")] == pytest.approx([27, 28, 29])
    assert (summary["clips"], summary["clips_succeeded"], summary["frames"]) == (3, 2, 5)
    assert summary["no_success"] is False
    assert "rot_error" not in summary


def test_summary_without_success_is_over_all_and_says_so():
    summary = summarize([clip("a", [10], False), clip("b", [30], False)])
    assert summary["no_success"] is True
    assert (summary["success_rate"], summary["mpjpe_succ"]) == (0.0, 20.0)


def test_summary_has_no_nan():
    short = ClipResult("short", 1, 1, True, tracking_metrics(*random_clip(frames=1)))
    summary = summarize([short])
    assert summary["vel_dist"] is None
    assert summary["accel_dist"] is None
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_summary_takes_the_rotation_error_along():
    turned = np.array([0.5])
    assert summarize([clip("a", [1], True, rot_error=turned)])["rot_error"] == 0.5
    assert "rot_error" not in summarize([clip("a", [1], True, rot_error=turned), clip("b", [1], True)])


def test_summary_needs_a_clip():
    with pytest.raises(ValueError, match="at least one clip"):
        summarize([])
