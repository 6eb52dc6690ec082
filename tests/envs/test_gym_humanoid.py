import gymnasium
import numpy as np
import pytest
import torch

from puffer_phc.envs.gym_humanoid import EPISODE_STEPS, GymHumanoid

STEPS = 60


@pytest.fixture(scope="module")
def original():
    env = gymnasium.make("Humanoid-v5").unwrapped
    yield env
    env.close()


def placed_like(original, env, index=0):
    qpos, qvel = (torch.from_numpy(x.copy())[None] for x in (original.data.qpos, original.data.qvel))
    return env.place(torch.tensor([index]), qpos, qvel)


def test_spaces_are_gymnasiums(original):
    env = GymHumanoid(1, threads=1)
    assert (env.num_obs,) == original.observation_space.shape == (348,)
    assert (env.num_actions,) == original.action_space.shape


@pytest.mark.parametrize(("threads", "seed"), [(1, 5), (1, 6), (2, 7)])
def test_a_random_walk_is_gymnasiums_number_for_number(original, threads, seed):
    """Until the fall and beyond: observation, reward with all terms, termination."""
    env = GymHumanoid(3, threads=threads)
    env.reset()
    rng = np.random.default_rng(seed)
    original.reset(seed=seed)
    original.set_state(original.data.qpos - 0.1 * np.eye(24)[2], original.data.qvel)  # feet on the floor
    first = original._get_obs()
    np.testing.assert_allclose(placed_like(original, env, 1)[1].numpy(), first.astype(np.float32), rtol=1e-6, atol=1e-6)
    touched, fallen = False, False
    for _ in range(STEPS):
        action = rng.uniform(-1.2, 1.2, (3, 17)).astype(np.float32)  # also beyond the range, which clips
        expected, reward, terminated, _, info = original.step(np.clip(action[1], -1, 1) * np.float32(0.4))
        env.step(torch.from_numpy(action))
        observed = env.final_obs[1] if terminated else env.obs[1]
        np.testing.assert_allclose(observed.numpy(), expected.astype(np.float32), rtol=1e-5, atol=3e-4)
        terms = [info[f"reward_{name}"] for name in ("survive", "forward", "ctrl", "contact")]
        np.testing.assert_allclose(env.reward_terms[1].numpy(), terms, rtol=1e-5, atol=1e-5)
        assert float(env.reward[1]) == pytest.approx(reward, rel=1e-5, abs=1e-5)
        assert bool(env.terminated[1]) == terminated
        touched |= bool(np.abs(expected[-78:]).max() > 1.0)
        if terminated:
            fallen = True
            break
    assert touched
    assert fallen


def test_an_ended_episode_starts_anew_and_tells_how_it_ended():
    env = GymHumanoid(4, threads=1, seed=1)
    env.reset()
    returns = torch.zeros(4)
    for _ in range(60):
        env.step(torch.zeros(4, 17))
        returns += env.reward
        if env.terminated.any():
            break
    gone = env.terminated.clone()
    assert gone.any()
    torch.testing.assert_close(env.episode_return, returns)
    assert (env.final_obs[gone, 0] <= 1.0).all()  # m: they lie
    assert (env.obs[gone, 0] - 1.4).abs().max() <= 0.0101  # and stand again
    length = env.episode_length.clone()
    env.step(torch.zeros(4, 17))
    assert torch.equal(env.episode_length, torch.where(gone, 1, length + 1))


def test_the_clock_truncates_and_keeps_the_last_observation():
    env = GymHumanoid(2, threads=1)
    env.reset()
    env.episode_length[0] = EPISODE_STEPS - 1
    env.step(torch.zeros(2, 17))
    assert env.truncated.tolist() == [True, False]
    assert not env.terminated.any()
    assert not torch.equal(env.final_obs[0], env.obs[0])


def test_reward_scale_changes_what_the_learner_sees_alone():
    plain, scaled = GymHumanoid(2, 1, seed=3), GymHumanoid(2, 1, seed=3, reward_scale=0.1)
    assert torch.equal(plain.reset(), scaled.reset())
    for env in (plain, scaled):
        env.step(torch.zeros(2, 17))
    torch.testing.assert_close(scaled.reward, 0.1 * plain.reward)
    assert torch.equal(scaled.episode_return, plain.episode_return)


def test_seeds_decide_the_start():
    assert torch.equal(GymHumanoid(2, 1, seed=7).reset(), GymHumanoid(2, 1, seed=7).reset())
    assert not torch.equal(GymHumanoid(2, 1, seed=7).reset(), GymHumanoid(2, 1, seed=8).reset())


def test_a_diverged_simulation_gives_no_reward_and_ends():
    env = GymHumanoid(2, threads=1)
    env.reset()
    env.simulation._qvel[0][:] = np.nan
    env.step(torch.zeros(2, 17))
    assert torch.isfinite(env.reward).all()
    assert torch.isfinite(env.obs).all()
