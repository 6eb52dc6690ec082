"""The two engines agree: same model, same states, same targets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.loading import load_motions
from puffer_phc.robots.robot import PhysicsOptions
from puffer_phc.robots.smpl import smpl_robot
from puffer_phc.simulation.mujoco_cpu import MujocoCpu

pytest.importorskip("mujoco_warp", reason="MuJoCo Warp is not installed (uv sync --extra gpu)")

from puffer_phc.simulation.mujoco_warp import MujocoWarp, constraint_sizes

WALK = Path(__file__).parents[2] / "sample_data" / "walk.npz"
ENVS, STEPS = 4, 20
LIFT = 0.003  # m


@pytest.fixture(scope="module", params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device(request.param, 0) if request.param == "cuda" else torch.device("cpu")


@pytest.fixture(scope="module")
def engines(device):
    physics = PhysicsOptions()
    robot = smpl_robot(physics)
    library = MotionLibrary(load_motions(WALK), robot)
    return library, MujocoCpu(robot, ENVS, physics, 1), MujocoWarp(robot, ENVS, physics, device)


def place(engines, which=None):
    """Put both engines on moments of the walk, a little above the floor.

    The synthetic feet are planted at a height of exactly 0 m, where rounding decides whether they touch: contacts were
    active in float32 and not yet in float64. From 3 mm higher they begin at a generic moment.
    """
    library, cpu, warp = engines
    clips, times = torch.zeros(ENVS, dtype=torch.long), torch.arange(ENVS) * 1.3
    state = library.state_at(clips, times)
    state = state._replace(body_pos=state.body_pos + torch.tensor([0.0, 0.0, LIFT]))
    mask = torch.ones(ENVS, dtype=torch.bool) if which is None else which
    cpu.reset(mask, state)
    warp.reset(mask.to(warp.device), type(state)(*(tensor.to(warp.device) for tensor in state)))
    return clips, times


@pytest.mark.timeout(300)  # the first use on a machine compiles kernels for a minute
def test_twenty_control_steps_agree(engines):
    library, cpu, warp = engines
    clips, times = place(engines)
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        noise = 0.05 * torch.randn(ENVS, cpu.robot.num_dofs, generator=generator)
        target = library.dof_pos_at(clips, times + (step + 2) / 30) + noise
        cpu.step(target)
        warp.step(target.to(warp.device))
    for name, tolerance in (("pos", 2e-5), ("rot", 2e-5), ("vel", 2e-4), ("ang_vel", 4e-4)):
        ours, theirs = getattr(cpu.bodies, name), getattr(warp.bodies, name).cpu()
        assert (ours - theirs).abs().max() < tolerance, name
    assert torch.allclose(cpu.dof_vel, warp.dof_vel.cpu(), atol=2e-4)
    assert not warp.diverged.any()


def test_masked_reset_touches_only_its_environments(engines):
    _, cpu, warp = engines
    place(engines)
    target = torch.zeros(ENVS, cpu.robot.num_dofs)
    warp.step(target.to(warp.device))
    before = warp.qpos()
    place(engines, torch.tensor([False, True, False, False]))
    changed = (warp.qpos() != before).any(dim=1)
    assert changed.tolist() == [False, True, False, False]
    assert torch.allclose(warp.qpos()[1], cpu.qpos()[1], atol=1e-6)


def test_divergence_is_flagged_and_cleared(engines):
    _, _, warp = engines
    clips, _ = place(engines)
    warp._qvel[2, 10] = float("nan")
    warp.step(torch.zeros(ENVS, warp.robot.num_dofs, device=warp.device))
    assert warp.diverged.tolist() == [False, False, True, False]
    place(engines)
    assert not warp.diverged.any()
    warp.step(torch.zeros(ENVS, warp.robot.num_dofs, device=warp.device))
    assert not warp.diverged.any()
    assert len(clips) == ENVS


def test_constraint_sizes_cover_what_standing_needs():
    contacts, rows = constraint_sizes(smpl_robot().model)
    assert contacts >= 17  # seen standing on four boxes
    assert rows >= 68
