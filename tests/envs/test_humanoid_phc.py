"""The environment: what it observes and rewards, what actions mean, divergence and evaluation."""

import math

import pytest
import torch
from small_env import DT, FAR, LIBRARY, ROBOT, actions, make, short_library

from puffer_phc.envs.observations import observation
from puffer_phc.envs.rewards import RewardConfig, imitation_reward
from puffer_phc.robots.state import MotionState

STILL = torch.zeros(4, 69)


def expected_obs(env, steps_ahead=1):
    """From the simulator's bodies and the reference, by the env's public clock."""
    times = env.start_time + (env.progress + steps_ahead) * DT
    return observation(env.simulator.bodies, env.library.bodies_at(env.clip_ids, times))


def finite(*tensors):
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


# --- observation -----------------------------------------------------------------------------------------------------


def test_an_episode_starts_exactly_on_its_reference():
    env = make()
    obs = env.reset()
    assert obs.shape == (4, 934)
    here = LIBRARY.state_at(env.clip_ids, env.start_time)
    ahead = LIBRARY.bodies_at(env.clip_ids, env.start_time + DT)
    torch.testing.assert_close(obs, observation(here.bodies, ahead), rtol=0, atol=1e-5)
    assert not env.progress.any()
    qpos = env.simulator.qpos()
    torch.testing.assert_close(qpos[:, :3].float(), here.root_pos)
    torch.testing.assert_close(qpos[:, 3:].float().reshape(4, 24, 4), here.local_rot)


def test_the_observation_is_a_function_of_simulation_and_upcoming_reference():
    env = make()
    env.reset()
    for action in actions(40, scale=0.5):
        obs, *_ = env.step(action)
        torch.testing.assert_close(obs, expected_obs(env), rtol=0, atol=1e-5)
        assert obs is env.obs
    assert env.num_obs == 934
    assert env.num_actions == 69


# --- reward ----------------------------------------------------------------------------------------------------------


def test_the_reward_compares_with_the_reference_of_now():
    reward = RewardConfig(power_coef=0.0005)
    env = make(reward=reward, termination_distance=FAR)
    env.reset()
    clips, start = env.clip_ids.clone(), env.start_time.clone()
    running = torch.ones(4, dtype=torch.bool)
    for step, action in enumerate(actions(12), start=1):
        _, rewards, _, truncated = env.step(action)
        reference = LIBRARY.bodies_at(clips, start + step * DT)
        imitation, terms = imitation_reward(*env.simulator.stepped, *reference, reward)
        power = -0.0005 * env.simulator.power * (step > 3)
        torch.testing.assert_close(rewards[running], (imitation + power)[running], rtol=0, atol=2e-5)
        torch.testing.assert_close(env.reward_terms[running, :4], terms[running], rtol=0, atol=2e-5)
        torch.testing.assert_close(env.reward_terms[running, 4], power[running], rtol=1e-4, atol=1e-5)
        running &= ~truncated
    assert running.any()


def test_power_is_free_for_three_steps():
    env = make(termination_distance=FAR, state_init="start")
    env.reset()
    for step, action in enumerate(actions(6, scale=1.0), start=1):
        env.step(action)
        power = env.reward_terms[:, 4]
        assert (power == 0.0).all() if step <= 3 else (power < 0.0).all()


# --- actions ---------------------------------------------------------------------------------------------------------


def test_absolute_actions_span_the_joints_and_freeze_hands_and_toes():
    env = make(action_mode="absolute")
    env.reset()
    action = actions(1)[0].clamp(-1, 1)
    expected = math.pi * action
    expected[:, [4, 16]] = 5.0 * action[:, [4, 16]]
    expected[:, [*range(9, 12), *range(21, 24), *range(51, 54), *range(66, 69)]] = 0.0
    torch.testing.assert_close(env.actions(action), expected)
    env.step(action)
    torch.testing.assert_close(env.simulator.target, expected)


@pytest.mark.parametrize(("scale", "lead"), [(1.0, 2.0), (0.5, 0.0), (1.0, 1.5)])
def test_reference_actions_are_added_to_the_reference_pose(scale, lead):
    env = make(action_scale=scale, action_lead=lead, termination_distance=FAR)
    env.reset()
    for action in actions(5):
        times = env.start_time + (env.progress + lead) * DT
        pose = ROBOT.dof_from_local_rot(LIBRARY.state_at(env.clip_ids, times).local_rot)
        env.step(action)
        torch.testing.assert_close(env.simulator.target, pose + scale * action, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mode", ["absolute", "reference"])
def test_actions_are_clipped(mode):
    env = make(action_mode=mode)
    env.reset()
    wild = 5.0 * actions(1, scale=1.0)[0]
    torch.testing.assert_close(env.actions(wild), env.actions(wild.clamp(-1, 1)), rtol=0, atol=0)
    assert not torch.equal(env.actions(wild), env.actions(wild.clamp(-0.5, 0.5)))


# --- divergence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_step", [True, False])
def test_a_diverged_humanoid_is_reset_and_counted(first_step):
    """Even during the grace period, and whatever the engine left in its tensors."""
    env = make(termination_distance=FAR)
    env.reset()
    if not first_step:
        env.step(actions(1)[0])
    env.simulator.poison = 2
    obs, reward, terminated, truncated = env.step(actions(1)[0])
    assert terminated.tolist() == [False, False, True, False]
    assert not truncated[2]
    assert int(env.divergences) == 1
    assert reward[2] == 0.0
    assert env.progress[2] == 0
    assert finite(obs, reward, env.episode_return, env.final_obs)
    torch.testing.assert_close(obs, expected_obs(env), rtol=0, atol=1e-5)
    for action in actions(3):
        obs, reward, *_ = env.step(action)
        assert finite(obs, reward, env.episode_return)
    assert int(env.divergences) == 1


def test_divergence_does_not_spoil_the_logged_terms():
    env = make(termination_distance=FAR)
    env.reset()
    env.simulator.poison = 1
    env.step(STILL)
    assert finite(env.reward_terms)


@pytest.mark.parametrize("speed", [1e5, float("nan")])
def test_real_divergence_is_survived(speed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo may leave a log
    env = make(termination_distance=FAR)
    env.reset()
    state = LIBRARY.state_at(env.clip_ids, env.start_time)
    rows = MotionState(*(x[:1].clone() for x in state))
    rows.dof_vel[0, 10] = speed
    env.simulator.reset(torch.tensor([0]), rows)
    obs, reward, terminated, _ = env.step(STILL)
    assert terminated.tolist() == [True, False, False, False]
    assert int(env.divergences) == 1
    assert finite(obs, reward, env.reward_terms)
    torch.testing.assert_close(obs, expected_obs(env), rtol=0, atol=1e-5)


# --- evaluation and repeatability ------------------------------------------------------------------------------------


def test_play_clips_and_track():
    """Tracking goes on past failures and past the clip's end, and hands out the reference of now."""
    library = short_library(5, 8)
    env = make(library=library, termination_distance=1e-7)
    clips = torch.tensor([1, 0, 1, 1])
    env.reset()
    env.step(STILL)
    obs = env.play_clips(clips)
    assert torch.equal(env.clip_ids, clips)
    assert not env.start_time.any()
    assert not env.progress.any()
    assert not env.episode_length.any()
    torch.testing.assert_close(obs, expected_obs(env), rtol=0, atol=1e-5)
    for step in range(1, 11):
        bodies, reference = env.track(STILL)
        expected = library.bodies_at(clips, torch.full((4,), step * DT))
        torch.testing.assert_close(reference.pos, expected.pos, rtol=0, atol=1e-5)
        torch.testing.assert_close(bodies.pos, env.simulator.stepped.pos, rtol=0, atol=0)
        torch.testing.assert_close(env.obs, expected_obs(env), rtol=0, atol=1e-5)
        assert env.progress.tolist() == [step] * 4
    assert torch.equal(env.clip_ids, clips)


def rollout(seed, steps=40):
    env = make(seed=seed, termination_distance=0.15)
    history = [env.reset().clone()]
    for action in actions(steps, scale=0.5):
        history += [x.clone().float() for x in env.step(action)]
    return history


def test_the_seed_decides_everything():
    first, second, other = rollout(3), rollout(3), rollout(4)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])


def test_the_bundled_motions_can_be_followed_for_a_while():
    """Without any action the servos alone stay near the reference."""
    env = make(state_init="start")
    env.reset()
    for step in range(12):
        _, reward, terminated, _ = env.step(STILL)
        assert not terminated.any(), step
    assert reward.min() > 0.3
