"""The rules for falls against the environment's own."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from small_policy import make_policy
from small_roamers import in_numpy, make_roamer, metadata_of, state_of, tumble

from puffer_phc.deployment.falls import make_fall_rule
from puffer_phc.envs.falls import fallen, toppled, untouchables
from puffer_phc.errors import InputError


@pytest.mark.parametrize(
    ("kind", "fall", "tilt"), [("amp_humanoid", "contact", 0.8), ("mjcf", "contact", 0.8), ("mjcf", "pose", 0.8)]
)
def test_equal_to_the_environments(tmp_path, kind, fall, tilt):
    """Robots that tumble to the floor are down at the same step by both."""
    env, cfg = make_roamer(kind, tmp_path, fall="never", fall_tilt=tilt)
    metadata = metadata_of(env, cfg, make_policy(env), tmp_path)
    task = replace(metadata.task, fall=fall)
    rule = make_fall_rule(env.robot.model, metadata, task)
    parts = untouchables(env.robot, env.device)
    told = []
    for state in tumble(env, 40):
        bodies = state.scene.bodies
        heights = env.robot.root_heights
        theirs = toppled(bodies, heights, tilt) if fall == "pose" else fallen(bodies, parts, task.fall_height)
        ours = [rule(state_of(state, row), in_numpy(bodies, row)) for row in range(4)]
        assert ours == theirs.tolist()
        told += ours
    assert 0.1 < np.mean(told) < 0.9


@pytest.mark.parametrize(
    ("shape", "height"),
    [
        ('type="cylinder" size="0.1 0.2"', 0.1 * 0.8 + 0.2 * 0.6),
        ('type="ellipsoid" size="0.1 0.1 0.3"', np.hypot(0.1 * 0.8, 0.3 * 0.6)),
        ('type="mesh" mesh="m"', 0.2 * (0.8 + 0.6)),
    ],
)
def test_round_shapes_and_meshes_touch_where_they_are(tmp_path, shape, height):
    """A body tilted by 53 degrees, just above and just below a centimetre over the floor."""
    corners = " ".join(f"{x} {y} {z}" for x in (-0.2, 0.2) for y in (-0.2, 0.2) for z in (-0.2, 0.2))
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><asset><mesh name="m" vertex="{corners}"/></asset><worldbody><geom type="plane" size="1 1 1"/>'
        f'<body name="b"><freejoint/><geom {shape}/></body></worldbody></mujoco>'
    )
    env, cfg = make_roamer("amp_humanoid", tmp_path)
    metadata = metadata_of(env, cfg, make_policy(env), tmp_path)
    metadata = replace(metadata, robot=replace(metadata.robot, body_names=("b",), body_sets={"feet": ()}))
    rule, data = make_fall_rule(model, metadata, metadata.task), mujoco.MjData(model)
    told = []
    for above in (0.009, 0.011):
        half = 0.5 * np.arccos(0.6)
        data.qpos[:] = (0, 0, height + above, np.cos(half), np.sin(half), 0, 0)
        mujoco.mj_kinematics(model, data)
        bodies = in_numpy(env.scene.bodies, 0)
        told.append(rule(data, bodies._replace(pos=np.full((1, 1, 3), 0.4))))
    assert told == [True, False]


def test_unknown_rules_are_told(tmp_path):
    env, cfg = make_roamer("amp_humanoid", tmp_path)
    metadata = metadata_of(env, cfg, make_policy(env), tmp_path)
    with pytest.raises(InputError, match="fall rule 'faint': is not known here"):
        make_fall_rule(env.robot.model, metadata, replace(metadata.task, fall="faint"))
    with pytest.raises(InputError, match="names no feet"):
        make_fall_rule(env.robot.model, replace(metadata, robot=replace(metadata.robot, body_sets={})), metadata.task)
