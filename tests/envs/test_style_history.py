"""The history of style: what each step saw, how it begins, and that masks and lists do the same."""

import pytest
import torch
from small_env import DT, FAR, LIBRARY, actions, short_library
from small_style import SWAY, make_amp, make_tracking

from gymtorch import listed
from gymtorch.listed import listed_in_fixed_size
from puffer_phc.envs import style_history
from puffer_phc.envs.style import style_features, world_features
from puffer_phc.envs.style_history import StyleHistory


def of_library(env, times):
    state = env.library.state_at(env.clip_ids, times)
    return style_features(state.bodies, state.dof_vel, env.style.tables)


@pytest.mark.parametrize(("make", "steps", "size"), [(make_amp, 2, 210), (make_tracking, 10, 1960)])
def test_sizes(make, steps, size):
    env = make(steps=steps)
    env.reset()
    assert env.style.size == size
    assert env.style.observed.shape == (4, size)


def test_an_episode_begins_with_the_past_of_its_clip():
    env = make_tracking(steps=4)
    env.reset()
    history = env.style._history
    for k in range(4):
        expected = of_library(env, env.start_time - k * DT)
        torch.testing.assert_close(history[:, k], expected, atol=2e-4, rtol=0)


def test_a_standing_start_has_always_stood():
    env = make_amp(steps=3, state_init="default")
    env.reset()
    history = env.style._history
    assert torch.equal(history[:, 0], history[:, 1])
    assert torch.equal(history[:, 0], history[:, 2])
    torch.testing.assert_close(history[:, 0, 0], torch.full((4,), 0.89))
    assert not history[:, 0, 7:13].any()


def test_hybrid_starts_are_of_both_kinds():
    env = make_amp(envs=64, state_init="hybrid", default_share=0.25)
    env.reset()
    standing = (env.style._history[:, 0] == env.style._history[:, 1]).all(dim=1)
    assert 4 < int(standing.sum()) < 32
    recorded = of_library(env, env.start_time)
    torch.testing.assert_close(env.style.now[~standing], recorded[~standing], atol=1e-4, rtol=0)


def test_steps_move_through_the_history():
    env = make_tracking(steps=3, termination_distance=FAR)
    env.reset()
    before = [env.style._history[:, k].clone() for k in range(2)]
    for action in actions(5):
        env.step(action)
        assert not env.done.any()
        now = style_features(env.simulator.stepped, env.simulator.dof_vel, env.style.tables)
        expected = torch.cat((now, *before), dim=1)
        torch.testing.assert_close(env.style.observed, expected, atol=1e-6, rtol=0)
        before = [now, before[0]]


def test_the_last_step_of_an_episode_is_seen_before_the_reset():
    env = make_tracking(steps=2, library=short_library(7, 9), termination_distance=0.1)
    env.reset()
    ended = 0
    for action in actions(30, scale=0.6):
        env.step(action)
        if env.done.any():
            now = env.style.observed[:, :196]
            torch.testing.assert_close(now[env.done, 0], env.simulator.stepped.pos[env.done, 0, 2])
            assert (now[env.done] - env.style.now[env.done]).abs().max() > 1e-3
            expected = of_library(env, env.start_time)
            torch.testing.assert_close(env.style.now[env.done], expected[env.done], atol=2e-4, rtol=0)
            ended += int(env.done.sum())
    assert ended > 5


def test_divergence_leaves_no_trace():
    env = make_tracking(termination_distance=FAR)
    env.reset()
    env.step(actions(1)[0])
    last = env.style.now.clone()
    env.simulator.poison = 1
    env.step(actions(1)[0])
    assert env.terminated[1]
    assert env.style.observed.isfinite().all()
    assert torch.equal(env.style.observed[1, :196], last[1])


def test_differences_vanish_on_the_reference_and_grow_away_from_it():
    env = make_tracking(steps=1, paired=True, termination_distance=FAR)
    env.reset()
    assert env.style.size == 258
    torch.testing.assert_close(env.style.now, torch.zeros(4, 258), atol=1e-5, rtol=0)
    clips, start = env.clip_ids.clone(), env.start_time.clone()
    for step, action in enumerate(actions(4, scale=1.0), start=1):
        env.step(action)
        reference = LIBRARY.state_at(clips, start + step * DT)
        wanted = world_features(reference.bodies, reference.dof_vel, env.style.tables)
        own = world_features(env.simulator.stepped, env.simulator.dof_vel, env.style.tables)
        running = env.progress == step
        torch.testing.assert_close(env.style.observed[running], (wanted - own)[running], atol=1e-4, rtol=0)
    assert env.style.observed.abs().max() > 0.1


def test_differences_have_no_past():
    env = make_tracking(steps=1)
    with pytest.raises(ValueError, match="one step"):
        StyleHistory(env.scene, 2, local_root=True, paired=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_amp(envs=8, state_init="hybrid", goal="location", goal_steps=7, episode_steps=13),
        lambda: make_tracking(envs=8, steps=3, library=short_library(7, 12)),
        lambda: make_tracking(envs=8, steps=1, paired=True, library=short_library(7, 12)),
    ],
)
def test_masks_do_what_lists_do(make):
    """A GPU's fixed shapes give what a CPU's lists give."""
    lists, masked = make(), make()
    masked._select = lambda mask: mask
    for env in (lists, masked):
        env.reset()
    ended = 0
    for action in torch.randn(30, 8, lists.num_actions, generator=torch.Generator().manual_seed(1)) * 0.3:
        for env in (lists, masked):
            env.step(action)
        for name in ("obs", "reward", "terminated", "truncated", "clip_ids", "start_time"):
            torch.testing.assert_close(getattr(masked, name), getattr(lists, name), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(masked.style.observed, lists.style.observed, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(masked.style._history, lists.style._history, atol=1e-3, rtol=1e-3)
        ended += int(lists.done.sum())
    assert ended > 8


@pytest.mark.parametrize("list_of", [listed, listed_in_fixed_size])
@pytest.mark.parametrize("chosen", [[1, 3, 4], [0, 2], [5], []])
def test_a_step_has_room_for_so_many_pasts(monkeypatch, list_of, chosen):
    """The first two get their clip's past, a third has always been where it is, the others keep theirs."""
    monkeypatch.setattr(style_history, "listed", list_of)
    env = make_tracking(envs=6, steps=3)
    env.reset()
    style, marks = env.style, torch.arange(6.0)
    style._history[:] = marks[:, None, None]
    mask = torch.zeros(6, dtype=torch.bool)
    mask[chosen] = True
    style.restart(mask, None, 2)
    for row in range(6):
        history = style._history[row]
        if row not in chosen:
            assert (history == marks[row]).all()
        elif row in chosen[2:]:
            assert torch.equal(history, history[:1].expand(3, -1))
        else:
            for k in range(3):
                wanted = of_library(env, env.start_time - k * DT)[row]
                torch.testing.assert_close(history[k], wanted, atol=2e-4, rtol=0)


def test_recorded_motion_is_the_clips_own():
    env = make_amp(steps=2)
    times = torch.tensor([DT, 0.5, 1.0, 1.3])
    clip_ids = torch.zeros(4, dtype=torch.long)
    rows = env.style.recorded(clip_ids, times)
    for k in range(2):
        state = SWAY.state_at(clip_ids, times - k * DT)
        expected = style_features(state.bodies, state.dof_vel, env.style.tables)
        torch.testing.assert_close(rows[:, 105 * k : 105 * (k + 1)], expected, atol=1e-5, rtol=0)
