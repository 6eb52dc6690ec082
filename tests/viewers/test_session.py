import math

import pytest
import torch

from poselib.rotations import quat_angle, quat_conj, quat_mul
from puffer_phc.errors import InputError
from puffer_phc.viewers.live import opener
from puffer_phc.viewers.options import PlayConfig
from puffer_phc.viewers.session import Pacer, local_rotations
from puffer_phc.viewers.weights import Shelf


def same(a, b, tolerance=1e-5):
    return all(torch.allclose(x, y, atol=tolerance) for x, y in zip(a.state, b.state, strict=True))


def test_an_episode_begins_on_the_reference_and_falls_off_it(make_session):
    session = make_session()
    assert session.now == 0
    torch.testing.assert_close(session.shown.state, session.reference())
    assert float(session.shown.error[0]) == 0.0
    for step in range(1, 31):
        moment = session.step()
        assert session.now == step
    expected = session.env.library.bodies_at(torch.tensor([0]), torch.tensor([30 / 30]))
    error = float((moment.state.body_pos - expected.pos).norm(dim=-1).mean())
    assert float(moment.error[0]) == pytest.approx(error, rel=1e-4)
    assert len(session.trace) == 30
    assert all(0.0 < reward <= 1.0 for _, reward in session.trace)


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_the_past_is_shown_as_it_was_and_goes_on_as_it_did(make_session, kind):
    session = make_session(envs=2, kind=kind)
    moments = [session.step() for _ in range(12)]
    session.seek(6)
    assert session.shown is moments[5]
    again = [session.step() for _ in range(6)]
    for before, after in zip(moments[6:], again, strict=True):
        assert same(before, after)
        torch.testing.assert_close(before.reward, after.reward, atol=1e-4, rtol=0)
    assert bool((again[-1].memory != 0).any()) == (kind == "lstm")


def test_the_future_is_the_reference(make_session):
    session = make_session()
    session.step()
    session.seek(50)
    assert session.now == 50
    torch.testing.assert_close(session.shown.state, session.reference())
    assert math.isnan(session.shown.reward[0])
    assert float(session.step().error[0]) < 0.05
    assert session.now == 51
    session.seek(10**6)
    assert session.now == session.last_step
    session.seek(-3)
    assert session.now == 0


def test_a_clip_that_is_over_begins_again_and_its_past_stays(make_session):
    session = make_session(envs=3)
    clips = session.env.clip_ids.tolist()
    assert clips == [0, 1, 2]
    session.seek(session.last_step - 1)
    lengths = [round(float(session.env.library.duration[clip]) * 30) for clip in clips]
    assert session.shown.progress.tolist() == [(session.last_step - 1) % max(n, 1) for n in lengths]
    last = session.step()
    assert session.now == 0
    assert float(last.error[0]) == pytest.approx(0.0, abs=1e-6)  # on the first frame again
    session.step()
    assert session.now == 1
    session.seek(session.last_step)
    assert not math.isnan(session.shown.reward[0])  # played in the first round


def test_clips_are_counted_round(make_session):
    session = make_session(envs=2)
    session.choose(-1)
    assert session.env.clip_ids.tolist() == [2, 0]
    session.step()
    session.choose(1)
    assert (session.now, session.clip, session.env.clip_ids.tolist()) == (0, 1, [1, 2])
    session.seek(1)
    assert math.isnan(session.shown.reward[0])  # the other clip's past is forgotten


def test_a_push_changes_the_velocity_of_every_body(make_session):
    session = make_session(envs=2)
    before = session.step().state
    session.push(torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 3.0]]))
    after = session.env.simulator.bodies
    change = after.vel - before.body_vel
    torch.testing.assert_close(change[0], torch.tensor([1.0, -2.0, 0.5]).expand(24, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(change[1], torch.tensor([0.0, 0.0, 3.0]).expand(24, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.pos, before.body_pos)
    height = float(before.body_pos[1, :, 2].mean())
    for _ in range(9):
        session.step()
    assert float(session.shown.state.body_pos[1, :, 2].mean()) - height == pytest.approx(0.9 - 0.44, abs=0.1)


def test_a_push_goes_on_from_the_moment_shown(make_session):
    session = make_session()
    for _ in range(10):
        session.step()
    session.seek(4)
    session.push(torch.tensor([0.0, 0.0, 4.0]))
    session.step()
    assert session.now == 5
    assert float(session.shown.state.root_vel[0, 2]) > 2.0


def test_a_diverged_simulation_begins_again(make_session):
    session = make_session()
    session.step()
    session.push(torch.tensor([0.0, 0.0, 1e8]))
    session.step()
    assert session.now == 0
    assert torch.isfinite(session.shown.state.body_pos).all()
    session.step()
    assert float(session.shown.error[0]) < 0.1


def test_world_rotations_are_taken_apart_as_they_are_put_together(world):
    robot, library = world
    state = library.state_at(torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))
    local = local_rotations(state.body_rot, robot.skeleton)
    assert float(quat_angle(quat_mul(quat_conj(local), state.local_rot)).abs().max()) < 1e-3


def test_steps_keep_time():
    pacer = Pacer(1 / 30)
    assert sum(pacer.due(1 / 60, 1.0) for _ in range(60)) in (29, 30)
    pacer = Pacer(1 / 30)
    assert sum(pacer.due(1 / 60, 0.25) for _ in range(240)) in (29, 30)
    assert Pacer(1 / 30, most=8).due(10.0, 1.0) == 8  # lag is let go ...
    pacer.due(10.0, 1.0)
    assert pacer.due(1 / 30, 1.0) <= 2  # ... for good


def test_the_shelf_refuses_what_cannot_play_here(make_session, run_folder):
    session = make_session()
    shelf = Shelf(session.env, run_folder / "checkpoints" / "best.pt")
    assert shelf.names() == ["absolute.pt", "best.pt", "dog.pt", "later.pt", "torn.pt"]
    faults = {"dog.pt": "'dog'", "absolute.pt": "env.action_mode absolute", "torn.pt": "no readable", "no.pt": "exist"}
    for name, fault in faults.items():
        with pytest.raises(InputError, match=fault):
            shelf.load(name)
    assert shelf.name == "best.pt"
    session.step()
    session.use(shelf.load("later.pt"))
    assert shelf.name == "later.pt"
    session.step()
    assert session.now == 2


def test_a_task_without_a_reference_can_be_played(make_session):
    session = make_session(envs=2, task="amp", action_mode="absolute")
    for _ in range(5):
        moment = session.step()
    assert session.reference() is None
    assert torch.isnan(moment.error).all()
    assert torch.isfinite(moment.reward).all()
    session.seek(3)
    session.push(torch.ones(3))
    session.step()
    assert session.now == 4


def test_a_viewer_that_is_not_installed_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "viser", None)
    monkeypatch.delitem(sys.modules, "puffer_phc.viewers.web", raising=False)
    monkeypatch.delitem(sys.modules, "puffer_phc.viewers.web_scene", raising=False)
    with pytest.raises(InputError, match=r"viser.*uv sync --extra view"):
        opener(PlayConfig(viewer="web"))
