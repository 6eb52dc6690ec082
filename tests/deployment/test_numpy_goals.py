"""Goals in NumPy against the environment's own, and goals that are given."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_policy import make_policy
from small_roamers import GOALS, in_numpy, make_roamer, metadata_of, tumble

from puffer_phc.deployment.goals import given_goal, make_goal
from puffer_phc.deployment.sight import Bodies
from puffer_phc.envs import goals as trainers
from puffer_phc.errors import InputError


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """The goal of a name, and the trainer's."""
    folder = tmp_path_factory.mktemp("goals")
    env, cfg = make_roamer("amp_humanoid", folder)
    task = metadata_of(env, cfg, make_policy(env), folder).task

    return lambda name: make_goal(replace(task, goal=name))


def robot(yaw=0.0, pos=(0.0, 0.0, 0.9), vel=(0.0, 0.0, 0.0), turn=0.0):
    rot = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    return Bodies(*(np.array([[row]], dtype=float) for row in (pos, rot, vel, (0.0, 0.0, turn))))


@pytest.mark.parametrize("name", GOALS)
def test_rewards_are_the_trainers(make, name, tmp_path):
    env, _ = make_roamer("amp_humanoid", tmp_path, name, goal_steps=4, fall="never")
    goal, theirs = make(name), trainers.make_goal(env.task.cfg)
    for state in tumble(env, 10):
        bodies = state.scene.bodies
        wanted = theirs.reward(state.task.goal, bodies)
        ours = goal.reward(state.task.goal.double().numpy(), in_numpy(bodies))
        np.testing.assert_allclose(ours, wanted, atol=1e-5)


@pytest.mark.parametrize("name", GOALS)
def test_drawn_goals_are_distributed_as_the_trainers(make, name):
    """Mean, spread and ends of 4,000 goals of each."""
    goal, bodies, generator = make(name), robot(pos=(5.0, -2.0, 0.9)), np.random.default_rng(0)
    ours = np.concatenate([goal.draw(generator, bodies) for _ in range(4000)])
    theirs = trainers.make_goal(trainers.GoalConfig(goal=name))
    luck = torch.rand(theirs.num_draws, 4000, generator=torch.Generator().manual_seed(1))
    many = trainers.BodyState(*(torch.from_numpy(x).float().expand(4000, -1, -1) for x in bodies))
    wanted = theirs.draw(luck, many).numpy()
    assert ours.shape == (4000, goal.width) == wanted.shape
    for statistic in (np.mean, np.std, np.min, np.max):
        np.testing.assert_allclose(statistic(ours, axis=0), statistic(wanted, axis=0), atol=0.1)


def test_given_goals_are_as_the_robot_sees_them(make):
    facing_y = robot(yaw=np.pi / 2, pos=(1.0, 1.0, 0.9))
    for name, numbers, world, seen in (
        ("velocity", (0.0, 1.5), (0, 1, 1.5), (1, 0, 1.5)),
        ("heading", (90.0, 1.0, -90.0), (-1, 0, 1, 1, 0), (0, 1, 1, 0, -1)),
        ("location", (2.0, 1.0), (0, 3), (2, 1)),
        ("command", (1.0, 0.1, 0.2), (1, 0.1, 0.2), (1, 0.1, 0.2)),
    ):
        goal = make(name)
        assert len(numbers) == len(goal.given)
        placed = goal.place(np.array(numbers), facing_y)
        np.testing.assert_allclose(placed[0], world, atol=1e-12)
        np.testing.assert_allclose(goal.observe(placed, facing_y)[0], seen, atol=1e-12)


def test_errors_have_units(make):
    moving = robot(yaw=np.pi / 2, vel=(0.0, 1.0, 0.0), turn=0.5, pos=(3.0, 0.0, 0.9))
    for name, goal, errors in (
        ("velocity", (0, 1, 1.5), (0.5,)),
        ("heading", (0, 1, 1, 1, 0), (0, 90)),
        ("location", (3, 4), (4,)),
        ("command", (1, 0.3, 0.0), (0.3, 0.5)),
        ("alive", (), ()),
    ):
        kind = make(name)
        assert len(kind.errors) == len(errors)
        np.testing.assert_allclose(kind.error(np.array([goal], dtype=float), moving)[0], errors, atol=1e-12)


def test_goals_of_another_kind_are_told(make):
    goal = make("command")
    assert given_goal(goal, "command", {"velocity": None, "command": None}) is None
    np.testing.assert_array_equal(given_goal(goal, "command", {"command": [1.0, 0.0, 0.0]}), [1, 0, 0])
    with pytest.raises(InputError, match="--velocity: this policy's goal is 'command'; use --command FORWARD LEFT"):
        given_goal(goal, "command", {"velocity": [0.0, 1.0]})
    with pytest.raises(InputError, match="--location: this policy's goal is 'alive'; leave it out"):
        given_goal(make("alive"), "alive", {"location": [0.0, 1.0]})
    with pytest.raises(InputError, match="not finite"):
        given_goal(goal, "command", {"command": [float("nan"), 0.0, 0.0]})
