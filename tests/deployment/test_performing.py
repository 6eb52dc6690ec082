"""Exported motions performed in plain MuJoCo, against the trainer's evaluation."""

import json

import numpy as np
import pytest
import torch
from small_policy import edited

from puffer_phc.deployment.folder import Deployment
from puffer_phc.deployment.performing import Performer, describe


def performer(folder, timestep=None):
    return Performer(Deployment(folder, timestep))


@pytest.mark.parametrize("kind", ["mlp", "lstm", "absolute"])
def test_the_same_time_step_gives_the_trainers_result(make_exported, kind):
    """Same model, same step, same protocol: what is left is the rounding of text and of float32."""
    exported = make_exported(kind)
    player = performer(exported.folder, timestep=0)
    assert player.deployment.plant.timestep == 1 / 60
    for clip, theirs in enumerate(player.metadata.evaluation):
        ours = player.perform(player.motion(clip))
        assert (ours.name, ours.frames, ours.success) == (theirs.name, theirs.frames, theirs.success)
        assert abs(ours.played_steps - theirs.played_steps) <= 1
        assert ours.mpjpe_g == pytest.approx(theirs.mpjpe_g, abs=0.5, rel=0.01)
        assert 5 < ours.mpjpe_g < 400


def test_bodies_stay_with_the_trainers_step_by_step(make_exported):
    exported = make_exported("mlp")
    env, policy = exported.env, exported.policy
    player = performer(exported.folder, timestep=0)
    motion = player.motion(1)
    obs, fresh = env.play_clips(torch.ones(4, dtype=torch.long)), torch.zeros(4, dtype=torch.bool)
    positions = []
    for _ in range(8):
        with torch.no_grad():
            bodies, _ = env.track(policy.act(obs, policy.initial_state(4), fresh)[0])
        positions.append(bodies.pos[0].numpy().copy())
        obs = env.obs
    seen = []
    player.perform(motion, lambda *_: seen.append(player.deployment.plant.bodies().pos[0]))
    np.testing.assert_allclose(seen[:8], positions, atol=2e-4)


def test_half_the_time_step_is_the_default_and_tracks_alike(make_exported):
    player = performer(make_exported("mlp").folder)
    assert (player.deployment.plant.timestep, player.deployment.plant.substeps) == (1 / 120, 4)
    theirs = player.metadata.evaluation[0]
    ours = player.perform(player.motion(0))
    assert ours.success == theirs.success
    assert ours.mpjpe_g != theirs.mpjpe_g
    assert ours.mpjpe_g == pytest.approx(theirs.mpjpe_g, rel=0.3)
    assert len(ours.error) == ours.played_steps
    assert 0 < ours.torque.mean < ours.torque.peak


def test_a_lost_clip_is_counted_up_to_its_loss(make_exported, tmp_path):
    """With a limit of two centimetres the first frames are lost; the failing one does not count."""
    folder = make_exported("mlp").folder
    player = performer(edited(folder, tmp_path / "near", termination_distance=0.02), timestep=0)
    whole = performer(edited(folder, tmp_path / "far", termination_distance=100.0), timestep=0)
    ours, full = player.perform(player.motion(0)), whole.perform(whole.motion(0))
    assert full.success
    assert not ours.success
    assert 0 < ours.played_steps < full.played_steps
    np.testing.assert_array_equal(ours.error, full.error[: ours.played_steps])


def test_limits_are_reported(make_exported, tmp_path):
    data = json.loads((make_exported("mlp").folder / "metadata.json").read_text())
    robot = {**data["robot"], "torque_limit": [1e-3] + [None] * 68}
    player = performer(edited(make_exported("mlp").folder, tmp_path, robot=robot))
    lines = describe(player.perform(player.motion(0)), None)
    assert any(line.endswith("of the time (L_Hip_x, the worst joint)") for line in lines)
