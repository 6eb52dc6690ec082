"""The two engines agree on robots with hinges: the 28-dof humanoid and a robot of an MJCF file."""

from __future__ import annotations

import pytest
import torch

from puffer_phc.config import ROOT
from puffer_phc.robots.amp_humanoid import amp_humanoid_robot
from puffer_phc.robots.g1 import write_g1_stand_in
from puffer_phc.robots.mjcf import mjcf_robot
from puffer_phc.robots.robot import PhysicsOptions
from puffer_phc.robots.state import MotionState
from puffer_phc.simulation.mujoco_cpu import MujocoCpu

pytest.importorskip("mujoco_warp", reason="MuJoCo Warp is not installed (uv sync --extra gpu)")

from puffer_phc.simulation.mujoco_warp import MujocoWarp, constraint_sizes

ENVS, STEPS = 3, 15
DROP = 0.01  # m above the standing pose: contacts begin at a generic moment


@pytest.fixture(scope="module", params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device(request.param, 0) if request.param == "cuda" else torch.device("cpu")


@pytest.fixture(scope="module", params=["amp_humanoid", "mimickit", "g1"])
def robot(request, tmp_path_factory):
    if request.param != "g1":
        return amp_humanoid_robot(gains="mimickit" if request.param == "mimickit" else "isaac")
    path = tmp_path_factory.mktemp("g1") / "g1.xml"
    write_g1_stand_in(path)
    return mjcf_robot(path, ROOT / "configs" / "g1.yaml")


def standing(robot):
    state = robot.default_state()
    rows = [x.expand(ENVS, *x.shape[1:]).clone() for x in state]
    rows[0] += torch.tensor([0.0, 0.0, DROP])
    return MotionState(*rows)


@pytest.mark.timeout(300)  # the first use on a machine compiles kernels for a minute
def test_control_steps_agree(robot, device):
    physics = PhysicsOptions()
    cpu, warp = MujocoCpu(robot, ENVS, physics, 1), MujocoWarp(robot, ENVS, physics, device)
    state = standing(robot)
    everyone = torch.ones(ENVS, dtype=torch.bool)
    cpu.reset(everyone, state)
    warp.reset(everyone.to(device), MotionState(*(x.to(device) for x in state)))
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        target = robot.default_dof + 0.1 * torch.randn(ENVS, robot.num_dofs, generator=generator)
        cpu.step(target)
        warp.step(target.to(device))
    assert not cpu.diverged.any()
    assert not warp.diverged.any()
    for name, tolerance in (("pos", 1e-4), ("rot", 2e-4), ("vel", 5e-3), ("ang_vel", 2e-2)):
        ours, theirs = getattr(cpu.bodies, name), getattr(warp.bodies, name).cpu()
        assert (ours - theirs).abs().max() < tolerance, name
    # What the engine holds is what the kinematics say of it.
    assert torch.allclose(warp.qpos()[:, 7:], cpu.qpos()[:, 7:], atol=2e-4)
    assert torch.allclose(cpu.dof_force, warp.dof_force.cpu(), atol=1.0)
    assert set(warp.read_overflow()) <= {"iterations", "ls_iterations"}  # the solver may stop early; nothing was lost


def test_the_state_put_in_comes_out(robot):
    """A reset and a read without physics between them: bodies by the clip's kinematics and by MuJoCo's positions."""
    cpu = MujocoCpu(robot, ENVS, PhysicsOptions(), 1)
    dofs = robot.default_dof + 0.2 * torch.randn(ENVS, robot.num_dofs, generator=torch.Generator().manual_seed(1))
    root = torch.nn.functional.normalize(torch.randn(ENVS, 4, generator=torch.Generator().manual_seed(2)), dim=1)
    local = robot.local_rot_from_dof(root, dofs)
    root_pos = torch.tensor([[0.0, 0.0, 1.0]]).expand(ENVS, 3)
    pos, rot = robot.skeleton.forward_kinematics(root_pos, local)
    still = torch.zeros_like(pos)
    vel = torch.randn(ENVS, robot.num_dofs)
    cpu.reset(torch.arange(ENVS), MotionState(pos.float(), rot.float(), still, still, local, vel))
    cpu.read()
    torch.testing.assert_close(cpu.bodies.pos, pos.float(), rtol=0, atol=1e-5)
    agreement = (cpu.bodies.rot * rot.float()).sum(-1).abs()
    torch.testing.assert_close(agreement, torch.ones_like(agreement), rtol=0, atol=1e-5)
    torch.testing.assert_close(cpu.dof_vel, vel)
    torch.testing.assert_close(cpu.qpos()[:, 2], torch.ones(ENVS, dtype=torch.float64))


def test_constraint_sizes_leave_room_for_joint_limits(robot):
    contacts, rows = constraint_sizes(robot.model)
    assert contacts >= 8 + 4  # two soles and some more
    assert rows >= 4 * 12 + int(robot.model.jnt_limited.sum())
