"""The PufferLib interface in all three of its back ends."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_env import SAMPLES

from puffer_phc.config import BaseConfig, Config, EnvConfig
from puffer_phc.envs.pufferlib_import import import_pufferlib
from puffer_phc.envs.vector import PHCVecEnv
from puffer_phc.errors import InputError
from puffer_phc.factory import make_env, make_library, make_robot

pufferlib = import_pufferlib()
CFG = Config(base=BaseConfig(threads=1), env=EnvConfig(motion_file=str(SAMPLES / "walk.npz")))
KWARGS = {"cfg": CFG, "num_envs": 4}
SEED = 42
CPU = torch.device("cpu")
BACKENDS = ["native", "Serial", pytest.param("Multiprocessing", marks=pytest.mark.timeout(40))]


def plain_env(seed, envs=4):
    robot = make_robot(CFG)
    return make_env(CFG, robot, make_library(CFG, robot, CPU), envs, CPU, seed)


def vectorised(backend):
    """A vector environment and the seeds and sizes of the plain ones behind it."""
    make = pufferlib.vector.make
    if backend == "native":
        return make(PHCVecEnv, env_kwargs=KWARGS, backend=pufferlib.PufferEnv), [SEED]
    if backend == "Serial":
        return make(PHCVecEnv, env_kwargs=KWARGS, backend="Serial", num_envs=2), [SEED, SEED + 1]
    vecenv = make(PHCVecEnv, env_kwargs=KWARGS, backend=backend, num_envs=2, num_workers=2, overwork=True)
    return vecenv, [SEED, SEED + 1]


def random_actions(steps, envs, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (steps, envs, 69)).astype(np.float32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_are_those_of_the_plain_environment(backend):
    vecenv, seeds = vectorised(backend)
    try:
        envs = [plain_env(seed) for seed in seeds]
        agents = 4 * len(envs)
        assert vecenv.num_agents == agents
        assert vecenv.single_observation_space.shape == (934,)
        assert vecenv.single_action_space.shape == (69,)
        assert vecenv.observation_space.shape == (agents, 934)
        assert vecenv.action_space.shape == (agents, 69)

        obs, infos = vecenv.reset(seed=SEED)
        assert infos == []
        np.testing.assert_array_equal(obs, torch.cat([env.reset() for env in envs]))
        ended = 0
        for action in random_actions(40, agents):
            obs, rewards, terminals, truncations, infos = vecenv.step(action)
            for env, part in zip(envs, np.split(action, len(envs)), strict=True):
                env.step(torch.from_numpy(part))
            assert (obs.shape, obs.dtype) == ((agents, 934), np.float32)
            assert (rewards.shape, rewards.dtype) == ((agents,), np.float32)
            assert (terminals.shape, terminals.dtype) == ((agents,), np.bool_)
            assert (truncations.shape, truncations.dtype) == ((agents,), np.bool_)
            np.testing.assert_array_equal(obs, torch.cat([env.obs for env in envs]))
            np.testing.assert_array_equal(rewards, torch.cat([env.reward for env in envs]))
            np.testing.assert_array_equal(terminals, torch.cat([env.terminated for env in envs]))
            np.testing.assert_array_equal(truncations, torch.cat([env.truncated for env in envs]))
            assert isinstance(infos, list)
            assert all(isinstance(info, dict) for info in infos)
            ended += int(np.sum(terminals | truncations))
        assert ended
    finally:
        vecenv.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_asynchronous_calls(backend):
    vecenv, _ = vectorised(backend)
    try:
        vecenv.async_reset(SEED)
        for action in random_actions(3, vecenv.num_agents):
            obs, _, _, _, infos, ids, masks = vecenv.recv()
            assert np.isfinite(obs).all()
            assert ids.tolist() == list(range(vecenv.num_agents))
            assert masks.all()
            assert isinstance(infos, list)
            vecenv.send(action)
        vecenv.recv()
    finally:
        vecenv.close()


def test_buffers_are_filled_in_place():
    """What the back end shared at construction shows every later step."""
    vecenv, _ = vectorised("Serial")
    obs, rewards = vecenv.observations, vecenv.rewards
    vecenv.reset(seed=SEED)
    before = obs.copy()
    assert before.any()
    for i, env in enumerate(vecenv.envs):
        assert np.shares_memory(env.observations, obs)
        np.testing.assert_array_equal(env.env.obs, obs[4 * i : 4 * i + 4])
    result = vecenv.step(random_actions(1, 8)[0])
    assert result[0] is obs
    assert (obs != before).any()
    assert (rewards > 0).all()


def test_native_buffers_are_filled_in_place():
    vecenv, _ = vectorised("native")
    obs = vecenv.observations
    assert vecenv.reset()[0] is obs
    before = obs.copy()
    assert vecenv.step(random_actions(1, 4)[0])[0] is obs
    assert (obs != before).any()


def test_reset_starts_clean():
    vecenv = PHCVecEnv(**KWARGS)
    vecenv.reset(seed=1)
    for action in random_actions(25, 4):
        vecenv.step(action)
    vecenv.env.terminated[0], vecenv.env.truncated[1] = True, True  # as if the last step had ended these two
    first = vecenv.reset(seed=7)[0].copy()
    assert not vecenv.rewards.any()
    assert not vecenv.terminals.any()
    assert not vecenv.truncations.any()
    np.testing.assert_array_equal(vecenv.reset(seed=7)[0], first)
    assert (vecenv.reset(seed=8)[0] != first).any()


def test_infos_tell_of_the_episodes_that_ended():
    vecenv = PHCVecEnv(**KWARGS)
    vecenv.reset(seed=3)
    returns, lengths, successes = [], [], []
    reports = []
    for step, action in enumerate(random_actions(64, 4), start=1):
        infos = vecenv.step(action)[-1]
        env = vecenv.env
        returns += env.episode_return[env.done].tolist()
        lengths += env.episode_length[env.done].tolist()
        successes += env.truncated[env.done].float().tolist()
        assert infos == [] or step % 32 == 0
        if infos:
            (info,) = infos
            assert info["episode_return"] == pytest.approx(np.mean(returns), rel=1e-5)
            assert info["episode_length"] == pytest.approx(np.mean(lengths), rel=1e-5)
            assert info["success"] == pytest.approx(np.mean(successes), abs=1e-6)
            returns, lengths, successes = [], [], []
            reports.append(info)
    assert reports
    assert not returns


def test_torch_buffers_are_tensors():
    vecenv = pufferlib.vector.make(PHCVecEnv, env_kwargs={**KWARGS, "torch_buffers": True}, backend=pufferlib.PufferEnv)
    env = plain_env(SEED)
    obs, _ = vecenv.reset(seed=SEED)
    assert isinstance(obs, torch.Tensor)
    assert torch.equal(obs, env.reset())
    assert not vecenv.rewards.any()
    for action in torch.from_numpy(random_actions(5, 4)):
        *tensors, infos = vecenv.step(action)
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors)
        for tensor, expected in zip(tensors, env.step(action), strict=True):
            assert torch.equal(tensor, expected)
        assert infos == []
    action = torch.from_numpy(random_actions(1, 4, seed=1)[0])
    vecenv.send(action)
    for tensor, expected in zip(vecenv.recv()[:4], env.step(action), strict=True):
        assert torch.equal(tensor, expected)
    assert isinstance(vecenv.actions, torch.Tensor)
    assert vecenv.masks.all()


def test_torch_buffers_cannot_be_shared():
    with pytest.raises(ValueError, match="native backend"):
        PHCVecEnv(**KWARGS, torch_buffers=True, buf={})
    with pytest.raises(ValueError, match="native backend"):
        pufferlib.vector.make(PHCVecEnv, env_kwargs={**KWARGS, "torch_buffers": True}, backend="Serial", num_envs=2)


def test_wrong_options_are_told():
    with pytest.raises(InputError, match="no such file"):
        PHCVecEnv(replace(CFG, env=replace(CFG.env, motion_file="missing.npz")), num_envs=1)
    with pytest.raises(InputError, match="use auto, cpu, cuda"):
        PHCVecEnv(CFG, num_envs=1, device="abacus")


def test_importing_is_silent_and_leaves_nothing_behind(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import puffer_phc.envs.vector"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert not list(tmp_path.iterdir())
