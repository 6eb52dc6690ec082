"""The observation of style in NumPy against the environment's own."""

from dataclasses import replace

import numpy as np
import pytest
from small_policy import make_policy
from small_roamers import GOALS, ROBOTS, in_numpy, make_roamer, metadata_of, tumble

from puffer_phc.deployment.observations import make_observer
from puffer_phc.deployment.sight import Sight
from puffer_phc.errors import InputError

SIZES = {"amp_humanoid": 105, "mjcf": 74, "smpl": 196}


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("kind", ROBOTS)
def test_equal_to_the_environments(tmp_path, kind, goal):
    """Random motion, falls and resets included; joint speeds reach tens of rad/s, hence the relative part."""
    env, cfg = make_roamer(kind, tmp_path, goal, goal_steps=3)
    metadata = metadata_of(env, cfg, make_policy(env), tmp_path)
    observe = make_observer(env.robot.model, metadata)
    seen = {"alive": 0, "location": 2, "heading": 5}.get(goal, 3)
    assert metadata.observation.size == env.num_obs == SIZES[kind] + seen
    for state in tumble(env, 12):
        goals = state.task.goal.double().numpy()
        ours = observe(Sight(in_numpy(state.scene.bodies), state.simulator.dof_vel.double().numpy(), goal=goals))
        np.testing.assert_allclose(ours, state.obs.numpy(), atol=1e-5, rtol=1e-5)


def test_blocks_name_every_number(tmp_path):
    env, cfg = make_roamer("mjcf", tmp_path, "command")
    blocks = metadata_of(env, cfg, make_policy(env), tmp_path).observation.blocks
    sizes = {block.name: block.size for block in blocks}
    assert list(sizes.values()) == [1, 6, 3, 3, 23, 23, 15, 3]
    first = sum(list(sizes.values())[:4])
    env.reset()
    np.testing.assert_allclose(env.obs[0, first : first + sizes["joints"]], env.robot.default_dof, atol=0.25)


def test_faults_are_told(tmp_path):
    env, cfg = make_roamer("amp_humanoid", tmp_path)
    metadata = metadata_of(env, cfg, make_policy(env), tmp_path)
    with pytest.raises(InputError, match="comes without a task"):
        make_observer(env.robot.model, replace(metadata, task=None))
    with pytest.raises(InputError, match="goal 'dance': is not known here; use one of alive, velocity"):
        make_observer(env.robot.model, replace(metadata, task=replace(metadata.task, goal="dance")))
    nameless = replace(metadata.robot, body_sets={})
    with pytest.raises(InputError, match="has no body set 'key'"):
        make_observer(env.robot.model, replace(metadata, robot=nameless))
