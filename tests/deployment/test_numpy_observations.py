"""The observation in NumPy against the environment's own, in torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_phc.deployment.metadata import parse_metadata
from puffer_phc.deployment.observations import Bodies, make_observer, tracking_blocks, tracking_observation
from puffer_phc.envs.observations import observation
from puffer_phc.errors import InputError
from puffer_phc.robots.state import BodyState


def random_bodies(seed, envs, bodies=24):
    """Motion of any kind, quaternions of either sign included."""
    generator = torch.Generator().manual_seed(seed)

    def normal(scale, width):
        return scale * torch.randn(envs, bodies, width, generator=generator)

    rot = torch.nn.functional.normalize(normal(1.0, 4), dim=-1)
    return BodyState(normal(1.0, 3), rot, normal(3.0, 3), normal(5.0, 3))


def in_numpy(state):
    return Bodies(*(tensor.double().numpy() for tensor in state))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), envs=st.integers(1, 5), bodies=st.sampled_from([2, 15, 24]))
def test_equal_to_the_environments(seed, envs, bodies):
    now, ahead = random_bodies(seed, envs, bodies), random_bodies(seed + 1, envs, bodies)
    ours = tracking_observation(in_numpy(now), in_numpy(ahead))
    theirs = observation(BodyState(*(t.double() for t in now)), BodyState(*(t.double() for t in ahead)))
    assert ours.shape == (envs, 39 * bodies - 2)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    # The environment computes in float32; where the root's x axis is nearly vertical, its heading magnifies rounding.
    root = now.rot[:, 0].numpy()
    level = np.abs(1 - 2 * (root[:, 2] ** 2 + root[:, 3] ** 2)) > 0.2
    np.testing.assert_allclose(ours[level], observation(now, ahead).numpy()[level], atol=5e-5, rtol=1e-5)


def test_blocks_name_every_number():
    assert sum(block.size for block in tracking_blocks(24)) == 934
    ends = np.cumsum([block.size for block in tracking_blocks(24)])
    now, ahead = random_bodies(3, 1), random_bodies(4, 1)
    moved = tracking_observation(in_numpy(now), in_numpy(ahead._replace(vel=ahead.vel + 1)))
    changed = np.flatnonzero(np.abs(moved - tracking_observation(in_numpy(now), in_numpy(ahead)))[0] > 1e-9)
    names = {tracking_blocks(24)[int(np.searchsorted(ends, place, side="right"))].name for place in changed}
    assert names == {"vel_difference"}


def test_an_unknown_layout_is_told(make_exported):
    folder = make_exported("mlp").folder
    metadata = parse_metadata((folder / "metadata.json").read_text(), "it")
    other = replace(metadata, observation=replace(metadata.observation, layout="lidar"))
    with pytest.raises(InputError, match="observation layout 'lidar': is not known here; use one of tracking"):
        make_observer(make_exported("mlp").env.robot.model, other)
    short = replace(metadata, observation=replace(metadata.observation, size=933))
    with pytest.raises(InputError, match="has 934 numbers, the policy takes 933"):
        make_observer(make_exported("mlp").env.robot.model, short)
