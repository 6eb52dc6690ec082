"""Cores that a scheduler leaves, and who keeps to them."""

import os
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from puffer_phc.processor import cores, intra_op_threads
from puffer_phc.robots.robot import PhysicsOptions
from puffer_phc.robots.smpl import smpl_robot
from puffer_phc.simulation.mujoco_cpu import MujocoCpu
from puffer_phc.simulation.mujoco_threads import MujocoThreads

BALL = '<mujoco><worldbody><body><joint type="free"/><geom size="0.1"/></body></worldbody></mujoco>'


@pytest.fixture
def one_core():
    """The test has one core of several to itself."""
    everywhere = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else {0}
    if len(everywhere) == 1:
        pytest.skip("needs Linux and several cores")
    os.sched_setaffinity(0, {min(everywhere)})
    yield everywhere
    os.sched_setaffinity(0, everywhere)


def threads():
    """Numbers of this process' threads; those of earlier tests may end at any time."""
    return {task.name for task in Path("/proc/self/task").iterdir()}


def test_cores_are_those_that_a_scheduler_leaves(one_core):
    assert cores() == 1
    os.sched_setaffinity(0, one_core)
    assert cores() == len(one_core)


def test_simulators_start_no_threads_for_the_cores_of_others(one_core):
    robot = smpl_robot(PhysicsOptions())
    before = threads()
    engine = MujocoCpu(robot, 4, PhysicsOptions())
    engine.step(torch.zeros(4, robot.num_dofs))
    several = MujocoThreads(mujoco.MjModel.from_xml_string(BALL), 4, ["qpos"])
    several.step(np.zeros((4, 0)), 1)
    assert threads() <= before
    wide = MujocoCpu(robot, 4, PhysicsOptions(), threads=2)
    wide.step(torch.zeros(4, robot.num_dofs))
    assert len(threads() - before) == 1  # a second beside the caller's


def test_threads_are_limited_for_a_while_only():
    before = torch.get_num_threads()
    seen = []

    @intra_op_threads(1)
    def work():
        seen.append(torch.get_num_threads())
        raise KeyError

    torch.set_num_threads(3)
    try:
        with pytest.raises(KeyError):
            work()
        assert (seen, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(before)
