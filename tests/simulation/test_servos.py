"""Torque limits hold for stiffness and damping together, and neither brake nor shake the limb."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puffer_phc.robots.amp_humanoid import amp_humanoid_robot
from puffer_phc.robots.mjcf import mjcf_robot
from puffer_phc.robots.robot import PhysicsOptions
from puffer_phc.robots.smpl import smpl_robot
from puffer_phc.simulation.mujoco_cpu import MujocoCpu
from puffer_phc.simulation.servos import LimitedServos, limited_servos

CPU = torch.device("cpu")
HUMANOID = amp_humanoid_robot(gains="mimickit")
# A trunk too heavy to be moved and a rod of 1 kg m2 about its hinge, weightless.
ROD = """<mujoco><option gravity="0 0 0"/><worldbody><body name="trunk">
  <freejoint/><inertial pos="0 0 0" mass="1e6" diaginertia="1e6 1e6 1e6"/><geom size="0.01"/>
  <body name="rod"><joint name="hinge" axis="0 1 0" stiffness="{kp}" damping="{kd}"/>
    <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/><geom size="0.01" contype="0" conaffinity="0"/></body>
</body></worldbody></mujoco>"""


def rod(tmp_path, limit: float, timestep: float, kp: float = 100.0, kd: float = 20.0) -> MujocoCpu:
    (tmp_path / "rod.xml").write_text(ROD.format(kp=kp, kd=kd))
    (tmp_path / "rod.yaml").write_text(f"feet: [trunk]\njoints:\n  hinge: {{effort: {limit}, scale: 3}}\n")
    physics = PhysicsOptions(timestep=timestep, substeps=round(1 / 30 / timestep))
    robot = mjcf_robot(tmp_path / "rod.xml", tmp_path / "rod.yaml", physics)
    return MujocoCpu(robot, 1, physics, 1)


def test_lengths_are_mujocos():
    """Joint coordinates of random positions are what the actuators of the same model have as their lengths."""
    generator = np.random.default_rng(0)
    data = mujoco.MjData(HUMANOID.model)
    for _ in range(20):
        data.qpos[:] = generator.normal(size=HUMANOID.model.nq)
        mujoco.mj_normalizeQuat(HUMANOID.model, data.qpos)
        mujoco.mj_forward(HUMANOID.model, data)
        found = HUMANOID.joints.coordinates(torch.tensor(data.qpos[None, 7:]))
        np.testing.assert_allclose(found[0], data.actuator_length, atol=1e-12)


@given(st.integers(0, 1000), st.floats(0.0, 30.0))
def test_the_whole_torque_is_the_clamped_one(seed, speed):
    """``clamp(kp (target - position) - kd velocity, -limit, limit)``, and the wanted target where that is within."""
    generator = torch.Generator().manual_seed(seed)
    qpos = HUMANOID.qpos(
        torch.zeros(3, 3), torch.nn.functional.normalize(torch.randn(3, 15, 4, generator=generator), dim=-1)
    )
    qvel = speed * torch.randn(3, 34, generator=generator)
    target = torch.randn(3, 28, generator=generator)
    servos = LimitedServos(HUMANOID, CPU, torch.float64)
    reached, torque = servos(target, qpos.double(), qvel.double())
    position = HUMANOID.joints.coordinates(qpos[:, 7:].double())
    law = HUMANOID.kp * (target - position) - HUMANOID.kd * qvel[:, 6:]
    torch.testing.assert_close(
        torque, law.clamp(-HUMANOID.torque_limit, HUMANOID.torque_limit).double(), rtol=1e-4, atol=1e-3
    )
    free = law.abs() < HUMANOID.torque_limit - 1e-3
    assert torch.equal(reached[free], target.double()[free])


def test_a_limited_motor_goes_on_accelerating(tmp_path):
    """5 N m on 1 kg m2 for 0.4 s is 2 rad/s; a brake of 20 N m s would have stopped it at 0.25."""
    sim = rod(tmp_path, limit=5.0, timestep=1 / 2400)
    for _ in range(12):
        sim.step(torch.tensor([[3.0]]))
        assert sim.dof_force.abs().max() <= 5.0 + 1e-6
    assert sim.dof_vel.item() == pytest.approx(5.0 * 0.4, rel=0.02)


@pytest.mark.parametrize("timestep", [1 / 60, 1 / 120])
def test_no_step_is_large_enough_to_shake_it(tmp_path, timestep):
    """Stiffness 100, damping 20 on 1 kg m2 and a limit that it meets on the way: it arrives and stays."""
    sim = rod(tmp_path, limit=30.0, timestep=timestep)
    for _ in range(90):
        sim.step(torch.tensor([[2.0]]))
        assert sim.dof_vel.abs().max() < 10.0
    assert sim.dof_vel.abs().item() < 1e-3
    assert sim.qpos()[0, 7].item() == pytest.approx(2.0, abs=1e-3)


def test_the_humanoid_follows_fast_targets_at_any_step():
    """All joints at once towards 0.8 rad and back: nothing diverges, and torques stay within the limits."""
    for timestep in (1 / 60, 1 / 240):
        physics = PhysicsOptions(timestep=timestep, substeps=round(1 / 30 / timestep))
        robot = amp_humanoid_robot(physics, gains="mimickit")
        sim = MujocoCpu(robot, 1, physics, 1)
        state = robot.default_state()
        sim.reset(torch.tensor([0]), state._replace(body_pos=state.body_pos + torch.tensor([0.0, 0.0, 5.0])))
        for step in range(20):
            sim.step(torch.full((1, 28), 0.8 if step % 8 < 4 else -0.2))
            assert not sim.diverged.any()
            assert (sim.dof_force.abs() <= robot.torque_limit + 1e-3).all()
        assert sim.dof_vel.abs().max() < 30.0


def test_robots_without_limits_do_without():
    assert limited_servos(smpl_robot(), CPU, torch.float64) is None
    assert limited_servos(amp_humanoid_robot(), CPU, torch.float64) is None
