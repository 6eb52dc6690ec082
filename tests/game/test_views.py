"""The agents of a body as PettingZoo and PufferLib see them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test
from small_game import TASKS, WALK, config, sway

from puffer_phc.config import EnvConfig
from puffer_phc.envs.pufferlib_import import import_pufferlib
from puffer_phc.errors import InputError
from puffer_phc.game.options import GameConfig
from puffer_phc.game.views import GameVecEnv, HumanoidParallelEnv
from puffer_phc.motions.formats.npz import write

pufferlib = import_pufferlib()
CFG = config(env=EnvConfig(motion_file=str(WALK), num_envs=3, termination_distance=0.1))
THREE = "human=* foot=L_Ankle,L_Toe hand=R_Wrist"


def sent(env):
    """Lists what the body is told to do."""
    actions, step = [], env.step
    env.step = lambda action: actions.append(action.clone()) or step(action)
    return actions


def test_pettingzoo_finds_nothing_wrong():
    parallel_api_test(HumanoidParallelEnv(CFG), num_cycles=60)


def test_the_28_dof_humanoid_has_a_prosthesis_of_four(tmp_path, bodies):
    robot, _ = bodies["amp"]
    write(tmp_path / "sway.npz", [sway(robot)])
    cfg = config("amp", env=replace(TASKS["amp"]["env"], motion_file=str(tmp_path / "sway.npz")))
    env = HumanoidParallelEnv(cfg)
    assert [env.action_space(name).shape for name in env.possible_agents] == [(24,), (4,)]
    parallel_api_test(env, num_cycles=20)


def test_each_agent_moves_its_own_part_and_all_see_and_earn_the_same():
    env = HumanoidParallelEnv(config(env=CFG.env, game=GameConfig(agents=THREE)))
    assert env.possible_agents == ["human", "foot", "hand"]
    assert [env.action_space(name).shape for name in env.possible_agents] == [(60,), (6,), (3,)]
    seen, _ = env.reset(seed=4)
    np.testing.assert_array_equal(seen["human"], seen["foot"])
    seen["human"][:] = np.nan  # which is nobody else's loss
    assert np.isfinite(seen["foot"]).all()
    told = sent(env.env)
    actions = {name: np.full(env.action_space(name).shape, k / 10) for k, name in enumerate(env.possible_agents)}
    _, rewards, *_ = env.step(actions)
    assert len(set(rewards.values())) == 1
    for k, name in enumerate(env.possible_agents):
        np.testing.assert_allclose(told[0][0, list(env.partition.of(name))], k / 10)
    again, _ = env.reset(seed=4)
    np.testing.assert_array_equal(again["human"], seen["foot"])


def test_an_episode_ends_for_all_and_shows_where():
    env = HumanoidParallelEnv(CFG)
    env.reset(seed=0)
    for _ in range(300):
        seen, _, terminated, truncated, _ = env.step({name: env.action_space(name).sample() for name in env.agents})
        if not env.agents:
            break
    assert terminated == dict.fromkeys(env.possible_agents, terminated["human"])
    assert terminated["human"] != truncated["human"]
    np.testing.assert_array_equal(seen["human"], env.env.final_obs[0])
    assert not torch.equal(env.env.final_obs, env.env.obs)


def test_pufferlib_gets_a_row_for_each_agent():
    env = pufferlib.vector.make(GameVecEnv, env_kwargs={"cfg": CFG, "num_envs": 3})
    obs, _ = env.reset(seed=1)
    assert env.num_agents == 6
    assert obs.shape == (6, 934)
    np.testing.assert_array_equal(obs[0::2], obs[1::2])
    driver = env.driver_env
    told = sent(driver.env)
    actions = np.random.default_rng(0).uniform(-1, 1, (6, 60)).astype(np.float32)
    actions[1::2, 9:] = 99.0  # beyond what the prosthesis has
    infos = []
    for _ in range(64):
        _, reward, terminal, _, info = env.step(actions)
        infos += info
    human, prosthesis = (list(driver.partition.of(name)) for name in driver.partition.names)
    np.testing.assert_array_equal(told[-1][:, human], actions[0::2])
    np.testing.assert_array_equal(told[-1][:, prosthesis], actions[1::2, :9])
    np.testing.assert_array_equal(reward[0::2], reward[1::2])
    np.testing.assert_array_equal(terminal[0::2], terminal[1::2])
    assert infos[0]["episode_length"] > 0
    env.close()


def test_agents_that_do_not_add_up_are_refused():
    with pytest.raises(InputError, match="nobody moves"):
        GameVecEnv(config(game=GameConfig(agents="a=L_Knee b=R_Knee"), env=CFG.env), num_envs=1)
