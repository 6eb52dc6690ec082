"""How episodes of the environment end and where they start."""

import pytest
import torch
from small_env import CLIPS, DT, FAR, LIBRARY, actions, make, short_library

from gymtorch import listed
from gymtorch.listed import listed_in_fixed_size
from puffer_phc.envs import humanoid_phc
from puffer_phc.envs.observations import observation
from puffer_phc.motions.sampler import SamplingConfig

STILL = torch.zeros(4, 69)


# --- ends of episodes ------------------------------------------------------------------------------------------------


def test_nobody_fails_on_the_first_step():
    env = make(termination_distance=1e-7, state_init="start")
    env.reset()
    for _ in range(3):
        _, _, terminated, _ = env.step(STILL)
        assert not terminated.any()
        _, _, terminated, truncated = env.step(STILL)
        assert terminated.all()
        assert not truncated.any()
        assert env.episode_length.tolist() == [2] * 4
        assert env.progress.tolist() == [0] * 4


@pytest.mark.parametrize(("measure", "limit"), [("any", 0.1), ("mean", 0.05)])
def test_failure_is_any_body_or_their_mean_further_than_the_limit(measure, limit):
    env = make(termination_distance=limit, termination_measure=measure, state_init="start")
    env.reset()
    failures = 0
    for action in actions(40, scale=1.0):
        clips, times = env.clip_ids.clone(), env.time(1)
        grace = env.progress == 0
        _, _, terminated, _ = env.step(action)
        errors = (env.simulator.stepped.pos - LIBRARY.bodies_at(clips, times).pos).norm(dim=-1)
        far = (errors > limit).any(dim=1) if measure == "any" else errors.mean(dim=1) > limit
        assert torch.equal(terminated, far & ~grace)
        failures += int(terminated.sum())
    assert failures


@pytest.mark.parametrize("frames", [5, 6, 17])
def test_a_clip_of_n_frames_lasts_n_minus_one_steps(frames):
    env = make(library=short_library(frames), termination_distance=FAR, state_init="start")
    env.reset()
    for _ in range(2):
        for step in range(1, frames):
            _, _, terminated, truncated = env.step(STILL)
            assert truncated.tolist() == [step == frames - 1] * 4
            assert not terminated.any()
        assert env.episode_length.tolist() == [frames - 1] * 4
        assert env.progress.tolist() == [0] * 4


def test_a_whole_clip_lasts_its_duration():
    env = make(envs=1, termination_distance=FAR, state_init="start")
    env.play_clips(torch.tensor([1]))
    steps = 1
    while not env.step(STILL[:1])[3].any():
        steps += 1
    assert steps == CLIPS[1].num_frames - 1


def test_failing_at_the_very_end_is_a_failure():
    env = make(library=short_library(5), termination_distance=1e-7, state_init="start")
    object.__setattr__(env.task.cfg, "grace_steps", 3)
    env.reset()
    for _ in range(4):
        _, _, terminated, truncated = env.step(STILL)
    assert terminated.all()
    assert not truncated.any()


def test_an_episode_never_ends_twice_at_once():
    env = make(envs=8, library=short_library(6, 11), termination_distance=0.05)
    env.reset()
    seen = torch.zeros(2, dtype=torch.long)
    for action in actions(60, envs=8, scale=0.5):
        _, _, terminated, truncated = env.step(action)
        assert not (terminated & truncated).any()
        assert torch.equal(env.done, terminated | truncated)
        seen += torch.stack((terminated.sum(), truncated.sum()))
    assert (seen > 0).all()


def test_final_obs_is_what_a_truncated_episode_saw_last():
    library = short_library(6, 9)
    env = make(library=library, termination_distance=FAR)
    env.reset()
    count = 0
    for action in actions(30):
        clips, times = env.clip_ids.clone(), env.time(1)
        env.step(action)
        last = observation(env.simulator.stepped, library.bodies_at(clips, times + DT))
        torch.testing.assert_close(env.final_obs[env.truncated], last[env.truncated], rtol=0, atol=1e-5)
        count += int(env.truncated.sum())
        if env.truncated.any():
            assert (env.final_obs[env.truncated] - env.obs[env.truncated]).abs().max() > 1e-3
    assert count > 5


def test_statistics_belong_to_one_episode():
    env = make(library=short_library(6, 13), termination_distance=0.08)
    env.reset()
    returns, lengths = torch.zeros(4), torch.zeros(4, dtype=torch.long)
    done = torch.zeros(4, dtype=torch.bool)
    for action in actions(50, scale=0.4):
        returns[done], lengths[done] = 0.0, 0
        _, reward, *_ = env.step(action)
        returns += reward
        lengths += 1
        done = env.done.clone()
        torch.testing.assert_close(env.episode_return, returns)
        assert torch.equal(env.episode_length, lengths)
        assert torch.equal(env.progress, torch.where(done, 0, lengths))
    env.reset()
    assert not env.progress.any()
    assert not env.episode_return.any()
    assert not env.episode_length.any()


# --- starts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adaptive", [0.0, 0.5])
def test_episodes_start_on_control_steps_inside_their_clips(adaptive):
    env = make(envs=64, sampling=SamplingConfig(adaptive=adaptive), termination_distance=0.02)
    env.reset()
    starts = [env.start_time.clone()]
    for action in actions(15, envs=64):
        env.step(action)
        env.sampler.update()
        assert (env.start_time <= LIBRARY.duration[env.clip_ids] + 1e-6).all()
        starts.append(env.start_time.clone())
    starts = torch.cat(starts)
    torch.testing.assert_close(starts / DT, (starts / DT).round(), rtol=0, atol=1e-3)
    assert starts.min() >= 0
    assert starts.unique().numel() > 30


@pytest.mark.parametrize("frames", [5, 7, 8, 30])
def test_every_start_leaves_something_to_do(frames):
    """An episode from the last frame would end at once, as a success."""
    env = make(envs=256, library=short_library(frames), sampling=SamplingConfig(adaptive=1.0), termination_distance=FAR)
    last = env.library.duration[0]
    env.sampler.record(torch.zeros(1, dtype=torch.long), last[None], torch.ones(1, dtype=torch.bool))
    env.sampler.update()
    env.reset()
    assert (env.start_time < last - 0.5 * DT).all()


def test_state_init_start():
    env = make(state_init="start")
    env.reset()
    assert not env.start_time.any()


def test_failures_reach_the_sampler():
    env = make(termination_distance=1e-7, state_init="start")
    env.reset()
    env.step(STILL)
    assert not env.sampler.failures.any()
    env.step(STILL)
    env.sampler.update()
    assert float(env.sampler.failures.sum()) == pytest.approx(4 * env.sampler._cfg.ema)


def test_masks_do_what_lists_do(monkeypatch):
    """The fixed shapes of a GPU, tried on the CPU: the same episodes, rewards and observations."""
    fixed = iter((listed, listed_in_fixed_size) * 40)  # each step, first of the one and then of the other
    monkeypatch.setattr(humanoid_phc, "listed", lambda *given: next(fixed)(*given))
    lists, masks = make(seed=4, termination_distance=0.1), make(seed=4, termination_distance=0.1)
    masks._select = lambda mask: mask
    assert torch.equal(lists.reset(), masks.reset())
    ends = 0
    for action in actions(40, scale=0.3):
        for a, b in zip(lists.step(action), masks.step(action), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
        ends += int(lists.done.sum())
        for name in ("clip_ids", "progress", "episode_length", "episode_return", "start_time"):
            torch.testing.assert_close(getattr(lists, name), getattr(masks, name))
        truncated = lists.truncated
        torch.testing.assert_close(lists.final_obs[truncated], masks.final_obs[truncated], rtol=0, atol=1e-5)
    assert ends > 5
