"""The CPU engine against plain ``mj_step``, and its resets."""

import mujoco
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from puffer_phc.robots.robot import PhysicsOptions
from puffer_phc.robots.smpl import smpl_robot
from puffer_phc.robots.state import MotionState
from puffer_phc.simulation.mujoco_cpu import MujocoCpu

PHYSICS = {
    "discrete": PhysicsOptions(),
    "implicitfast": PhysicsOptions("implicitfast", 1 / 120, 4),
    "one step": PhysicsOptions("implicitfast", 1 / 120, 1),
}
ROBOTS = {name: smpl_robot(physics) for name, physics in PHYSICS.items()}
ENVS = 5


def engine(name="discrete", envs=ENVS, threads=1):
    return MujocoCpu(ROBOTS[name], envs, PHYSICS[name], threads)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """MuJoCo writes its warnings into the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def random_state(rows, seed=0, height=1.0, speed=1.0):
    """Humanoids with moderately bent joints, ``speed`` rad/s each; bodies are consistent, but for their velocities."""
    rng = np.random.default_rng(seed)
    rot = Rotation.from_rotvec(rng.normal(0.0, 0.3, (rows * 24, 3))).as_quat(scalar_first=True).reshape(rows, 24, 4)
    root = np.concatenate((rng.normal(size=(rows, 2)), np.full((rows, 1), height)), axis=1)
    local_rot, root_pos = torch.from_numpy(rot).float(), torch.from_numpy(root).float()
    body_pos, body_rot = ROBOTS["discrete"].skeleton.to(dtype=torch.float32).forward_kinematics(root_pos, local_rot)
    vel, ang_vel = (torch.from_numpy(speed * rng.normal(size=(rows, 24, 3))).float() for _ in "12")
    return MotionState(
        body_pos, body_rot, vel, ang_vel, local_rot, torch.from_numpy(speed * rng.normal(size=(rows, 69))).float()
    )


def targets(steps, envs=ENVS, seed=1, scale=0.3):
    return scale * torch.randn(steps, envs, 69, generator=torch.Generator().manual_seed(seed))


def everything(sim):
    return [sim.qpos(), *(x.clone() for x in sim.bodies), sim.dof_vel.clone(), sim.dof_force.clone()]


def placed(state, robot, env):
    """MuJoCo data of one row of a state, from MuJoCo's definition of its coordinates."""
    data = mujoco.MjData(robot.model)
    rot = state.local_rot[env].double().numpy()
    data.qpos = np.concatenate((state.root_pos[env].double(), rot.ravel()))
    root = Rotation.from_quat(rot[0], scalar_first=True)
    data.qvel = np.concatenate(
        (state.root_vel[env].double(), root.inv().apply(state.root_ang_vel[env].double()), state.dof_vel[env].double())
    )
    return data


@pytest.mark.parametrize("name", PHYSICS)
@pytest.mark.parametrize("height", [3.0, 0.95])
def test_a_step_is_mj_step(name, height):
    robot, physics = ROBOTS[name], PHYSICS[name]
    sim, state = engine(name), random_state(ENVS, height=height)
    sim.reset(torch.ones(ENVS, dtype=torch.bool), state)
    worlds = [placed(state, robot, env) for env in range(ENVS)]
    for target in targets(4):
        sim.step(target)
        for env, data in enumerate(worlds):
            data.ctrl = target[env].double()
            for _ in range(physics.substeps):
                mujoco.mj_step(robot.model, data)
            np.testing.assert_allclose(sim.qpos()[env], data.qpos, rtol=0, atol=1e-5)
            np.testing.assert_allclose(sim.dof_vel[env], data.qvel[6:], rtol=1e-4, atol=1e-3)
            mujoco.mj_forward(robot.model, mirror := _copy(robot.model, data))
            np.testing.assert_allclose(sim.bodies.pos[env], mirror.xpos[1:], rtol=0, atol=2e-5)
            np.testing.assert_allclose(sim.bodies.ang_vel[env, 0], _spin(robot.model, mirror), rtol=0, atol=1e-3)
    assert not sim.diverged.any()


def _copy(model, data):
    other = mujoco.MjData(model)
    other.qpos, other.qvel = data.qpos, data.qvel
    return other


def _spin(model, data):
    velocity = np.zeros(6)
    mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, 1, velocity, 0)
    return velocity[:3]


def test_physics_is_the_silent_part_of_step():
    loud, quiet = engine(), engine()
    for sim in (loud, quiet):
        sim.reset(torch.arange(ENVS), random_state(ENVS))
    before = everything(quiet)
    for target in targets(3):
        loud.step(target)
        quiet.physics(target)
    torch.testing.assert_close(quiet.qpos(), loud.qpos(), rtol=0, atol=0)
    for tensor, old in zip(everything(quiet)[1:], before[1:], strict=True):
        assert torch.equal(tensor, old)


@pytest.mark.parametrize("kind", ["mask", "list"])
def test_reset_places_the_chosen_and_leaves_the_others(kind):
    sim, state = engine(), random_state(ENVS, seed=7)
    sim.reset(torch.arange(ENVS), random_state(ENVS))
    sim.step(targets(1)[0])
    before = everything(sim)
    chosen = torch.tensor([3, 1])
    if kind == "mask":
        sim.reset(torch.tensor([False, True, False, True, False]), state)
    else:
        sim.reset(chosen, MotionState(*(x[chosen] for x in state)))
    others = torch.tensor([0, 2, 4])
    for tensor, old in zip(everything(sim), before, strict=True):
        assert torch.equal(tensor[others], old[others])
    for own, given in zip(sim.bodies, state.bodies, strict=True):
        assert torch.equal(own[chosen], given[chosen])
    assert torch.equal(sim.dof_vel[chosen], state.dof_vel[chosen])
    assert not sim.dof_force[chosen].any()
    for env in (1, 3):
        np.testing.assert_allclose(sim.qpos()[env], placed(state, sim.robot, env).qpos, rtol=0, atol=1e-7)


@pytest.mark.parametrize("nobody", [torch.zeros(ENVS, dtype=torch.bool), torch.zeros(0, dtype=torch.long)])
def test_reset_of_nobody_changes_nothing(nobody):
    sim = engine()
    sim.step(targets(1)[0])
    before = everything(sim)
    sim.reset(nobody, random_state(len(nobody)))
    for tensor, old in zip(everything(sim), before, strict=True):
        assert torch.equal(tensor, old)


def test_a_reset_forgets_the_past():
    """The same state and targets give the same motion, whatever was simulated before."""
    fresh, used = engine(envs=2), engine(envs=2)
    for target in targets(5, envs=2, seed=9, scale=1.0):
        used.step(target)
    state = random_state(2, height=0.9)
    for sim in (fresh, used):
        sim.reset(torch.arange(2), state)
    for target in targets(3, envs=2):
        fresh.step(target)
        used.step(target)
    for a, b in zip(everything(fresh), everything(used), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("threads", [0, 2, 3])
def test_threads_do_not_matter(threads):
    sims = [engine(threads=1), engine(threads=threads)]
    for sim in sims:
        sim.reset(torch.arange(ENVS), random_state(ENVS, height=0.9))
        for target in targets(5):
            sim.step(target)
    for a, b in zip(*map(everything, sims), strict=True):
        assert torch.equal(a, b)


def test_force_is_the_servos_law():
    """``kp (target - position) - kd velocity`` at the state that the last physics step started from."""
    sim, state = engine("one step"), random_state(ENVS, height=3.0)
    robot = sim.robot
    sim.reset(torch.arange(ENVS), state)
    pos, vel = robot.dof_from_local_rot(state.local_rot), state.dof_vel
    for target in targets(3):
        sim.step(target)
        torch.testing.assert_close(sim.dof_force, robot.kp * (target - pos) - robot.kd * vel, rtol=1e-4, atol=1e-2)
        pos = robot.dof_from_local_rot(sim.qpos()[:, 3:].reshape(ENVS, 24, 4).float())
        vel = sim.dof_vel.clone()


def test_servos_pull_towards_their_targets():
    sim, state = engine(envs=1), random_state(1, height=50.0, speed=0.0)
    target = targets(1, envs=1)[0]
    sim.reset(torch.arange(1), state)
    first = (robot_pos(sim) - target).abs().mean()
    for _ in range(30):
        sim.step(target)
    assert (robot_pos(sim) - target).abs().mean() < 0.02 * first


def robot_pos(sim):
    return sim.robot.dof_from_local_rot(sim.qpos()[:, 3:].reshape(sim.num_envs, 24, 4).float())


@pytest.mark.parametrize(
    ("what", "value"),
    [
        *((what, value) for what in ("dof_vel", "root_vel") for value in (1e4, 1e12, float("inf"), float("nan"))),
        *((what, value) for what in ("root_pos", "joint") for value in (float("inf"), float("nan"))),
    ],
)
def test_divergence_is_flagged_and_ends_with_a_reset(what, value):
    sim, state = engine(), random_state(ENVS)
    twin = engine()
    twin.reset(torch.arange(ENVS), state)
    if what == "dof_vel":
        state.dof_vel[2, 5] = value
    elif what == "root_vel":
        state.body_vel[2, 0, 1] = value
    elif what == "root_pos":
        state.body_pos[2, 0, 2] = value
    else:
        state.local_rot[2, 7, 1] = value
    sim.reset(torch.arange(ENVS), state)
    target = targets(1)[0]
    sim.step(target)
    twin.step(target)
    assert sim.diverged.tolist() == [False, False, True, False, False]
    others = torch.tensor([0, 1, 3, 4])
    assert torch.equal(sim.qpos()[others], twin.qpos()[others])
    sim.reset(torch.tensor([2]), random_state(1))
    assert not sim.diverged.any()
    sim.step(target)
    assert not sim.diverged.any()
    assert all(tensor.isfinite().all() for tensor in everything(sim))


def test_fast_but_possible_motion_has_not_diverged():
    sim = engine()
    state = random_state(ENVS, height=3.0, speed=0.0)
    state.dof_vel[:, 3] = 40.0
    sim.reset(torch.arange(ENVS), state)
    sim.step(robot_pos(sim))
    assert not sim.diverged.any()


def test_divergence_leaves_no_file_behind(elsewhere):
    """MuJoCo's own handler would print every warning and write ``MUJOCO_LOG.TXT`` where the user happens to be."""
    sim, state = engine(), random_state(ENVS)
    state.dof_vel[0, 0] = float("nan")
    sim.reset(torch.arange(ENVS), state)
    sim.step(targets(1)[0])
    assert not list(elsewhere.iterdir())
