"""Which clips lie on the grid of control steps, and that nothing changes where they do."""

from dataclasses import replace

import pytest
import torch
from small_env import CLIPS, DT, LIBRARY, PHYSICS, ROBOT, actions, make

from puffer_phc.envs.actions import ActionConfig, ActionMap
from puffer_phc.envs.scene import Scene
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.simulation.mujoco_cpu import MujocoCpu


def scene_of(*rates, control_dt=DT):
    clips = [replace(CLIPS[i % 2], name=str(i), fps=rate) for i, rate in enumerate(rates)]
    return Scene(ROBOT, MujocoCpu(ROBOT, 1, PHYSICS, threads=1), MotionLibrary(clips, ROBOT), control_dt)


@pytest.mark.parametrize(
    ("rates", "on_frames"),
    [((30.0, 30.0), True), ((30.0, 120.0), True), ((30.0, 29.97), False), ((15.0,), False), ((30.01,), False)],
)
def test_frames_at_every_control_step(rates, on_frames):
    assert scene_of(*rates).on_frames == on_frames


def test_another_control_step_may_lie_between_frames():
    assert scene_of(60.0, control_dt=1 / 30).on_frames
    assert not scene_of(30.0, control_dt=1 / 60).on_frames


def test_a_lead_of_half_a_step_lies_between_frames():
    env = make()
    assert env.scene.on_frames
    assert env.actions._on_frames
    half = ActionMap(env.scene, ActionConfig(action_lead=0.5))
    env.reset()
    here, there, between = (
        ActionMap(env.scene, ActionConfig(action_lead=lead))(torch.zeros(4, 69)) for lead in (0, 1, 0.5)
    )
    assert not half._on_frames
    assert not torch.allclose(here, there)
    torch.testing.assert_close(between, 0.5 * (here + there), atol=2e-2, rtol=0)


def test_rollouts_are_those_that_blend(monkeypatch):
    def played():
        env = make(library=LIBRARY)
        seen = [env.reset().clone()]
        for action in actions(12, scale=0.5):
            seen += [tensor.clone() for tensor in env.step(action)]
        return seen

    on_frames = played()
    moment = MotionLibrary._moment
    monkeypatch.setattr(MotionLibrary, "_moment", lambda self, ids, times, _: moment(self, ids, times, False))
    for told, found in zip(on_frames, played(), strict=True):
        torch.testing.assert_close(told, found)
