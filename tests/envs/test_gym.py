import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from puffer_phc.comparison.sb3_import import import_stable_baselines3
from puffer_phc.config import ROOT
from puffer_phc.envs.gym import HumanoidPHCEnv, HumanoidPHCVectorEnv, options_of
from puffer_phc.envs.registry import RECIPES, register
from puffer_phc.errors import InputError
from puffer_phc.viewers.gl import make_context

ID = "puffer_phc/HumanoidPHC-v0"


@pytest.fixture(scope="module")
def env():
    made = gymnasium.make(ID)
    yield made
    made.close()


@pytest.fixture(scope="module")
def vector():
    made = gymnasium.make_vec(ID, num_envs=3, vectorization_mode="vector_entry_point", threads=1)
    yield made
    made.close()


def need_opengl():
    try:
        make_context(16, 16).free()
    except InputError as error:
        pytest.skip(str(error))


# -- registry ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["import puffer_phc, gymnasium", "import gymnasium, puffer_phc"])
def test_importing_us_registers_and_costs_little(first):
    code = f"import sys; {first}; assert 'torch' not in sys.modules; print(*gymnasium.registry)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ID in done.stdout.split()


def test_an_id_can_name_its_package():
    made = gymnasium.make(f"puffer_phc:{ID}")
    assert made.spec.id == ID


def test_an_id_exists_where_its_recipe_does():
    register()  # twice does no harm
    for name, files in RECIPES.items():
        assert (f"puffer_phc/{name}" in gymnasium.registry) == all(
            (ROOT / "configs" / file).is_file() for file in files
        )


# -- the checkers of the ecosystem -------------------------------------------------------------------------------------


def test_passes_gymnasiums_check(env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*Box observation space (minimum|maximum) value is -?infinity")
        check_env(env.unwrapped, skip_render_check=True)  # a window needs a desktop; pictures are tested below


def test_passes_stable_baselines3s_check(env):
    import_stable_baselines3()
    from stable_baselines3.common.env_checker import check_env as sb3_check

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sb3_check(env.unwrapped, warn=True, skip_render_check=True)


# -- one environment ---------------------------------------------------------------------------------------------------


def episode(env, seed, scale=0.3):
    obs, info = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    rows, rewards = [obs], []
    for _ in range(500):
        obs, reward, terminated, truncated, info = env.step(scale * rng.standard_normal(69).astype(np.float32))
        rows.append(obs)
        rewards.append(reward)
        if terminated or truncated:
            break
    return np.stack(rows), rewards, terminated, truncated, info


def test_a_seed_decides_the_whole_episode(env):
    first, again, other = (episode(env, seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])


def test_a_failed_episode_ends_with_its_own_last_observation(env):
    rows, rewards, terminated, _, info = episode(env, seed=1, scale=2.0)
    assert terminated
    height = rows[:, 0]
    assert abs(height[-1] - height[-2]) < 0.1  # m: the humanoid has not been put somewhere else
    assert np.abs(rows[-1] - rows[-2]).max() > 0  # nor is it the observation before
    assert 0 < info["time"] <= float(env.unwrapped.env.library.duration.max())
    assert info["clip"] == env.unwrapped.env.library.names[0]
    assert rewards[-1] <= 1.0


def test_options_are_keywords():
    made = gymnasium.make(ID, termination_distance=1e6, state_init="start", timestep=1 / 120, substeps=4)
    inner = made.unwrapped.env
    assert inner.control_dt == pytest.approx(1 / 30)
    made.reset(seed=0)
    assert float(inner.start_time[0]) == 0.0
    *_, terminated, truncated, _ = episode(made, seed=0, scale=1.0)
    assert truncated
    assert not terminated


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nonsense": 1}, "nonsense: is no option"),
        ({"action_mode": "sideways"}, "expected one of"),
        ({"termination_distance": -1}, "out of range"),
        ({"motion_file": "nowhere.npz"}, "nowhere.npz"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(options, words):
    with pytest.raises(InputError, match=words):
        gymnasium.make(ID, **options)


def test_recipes_lie_between_defaults_and_keywords(tmp_path):
    recipe = tmp_path / "recipe.ini"
    recipe.write_text("[env]\naction_scale = 0.5\naction_lead = 1\n")
    cfg = options_of([str(recipe)], {"action_lead": 3, "threads": 2})
    assert (cfg.env.action_scale, cfg.env.action_lead, cfg.base.threads) == (0.5, 3.0, 2)


def test_works_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert HumanoidPHCEnv().reset(seed=0)[0].shape == (934,)


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_draws_pictures():
    need_opengl()
    made = gymnasium.make(ID, render_mode="rgb_array")
    made.reset(seed=0)
    before = made.render()
    for _ in range(5):
        made.step(np.zeros(69, np.float32))
    after = made.render()
    assert before.shape == after.shape
    assert before.dtype == np.uint8
    assert before.shape[2] == 3
    assert not np.array_equal(before, after)
    made.close()


def test_a_window_without_a_desktop_is_one_line(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform != "linux":
        pytest.skip("other systems always have one")
    with pytest.raises(InputError, match="rgb_array"):
        gymnasium.make(ID, render_mode="human").reset()


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(InputError, match="render_mode"):
        HumanoidPHCEnv(render_mode="ascii")


# -- many in step ------------------------------------------------------------------------------------------------------


def test_the_batched_environment_tells_how_it_resets(vector):
    assert isinstance(vector.unwrapped, HumanoidPHCVectorEnv)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert vector.observation_space.shape == (3, 934)
    assert vector.single_action_space.shape == (69,)


def test_batched_episodes_start_anew_in_the_same_step(vector):
    obs, _ = vector.reset(seed=2)
    assert vector.observation_space.contains(obs)
    actions = np.random.default_rng(0).standard_normal((60, 3, 69)).astype(np.float32)
    returns = np.zeros(3)
    for action in actions:
        obs, reward, terminated, truncated, info = vector.step(action)
        returns += reward
        done = terminated | truncated
        if done.any():
            break
    assert done.any()
    np.testing.assert_array_equal(info["_final_obs"], done)
    for index in range(3):
        assert (info["final_obs"][index] is not None) == done[index]
        if done[index]:
            assert info["final_obs"][index].shape == (934,)
            assert not np.array_equal(info["final_obs"][index], obs[index])
    np.testing.assert_allclose(info["episode_return"][done], returns[done], rtol=1e-5)


def test_batched_seeds_decide(vector):
    action = np.full((3, 69), 0.1, np.float32)
    seen = []
    for seed in (5, 5, 6):
        vector.reset(seed=seed)
        seen.append(vector.step(action)[0])
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_what_was_handed_out_does_not_change(vector):
    obs, _ = vector.reset(seed=1)
    kept = obs.copy()
    vector.step(np.zeros((3, 69), np.float32))
    np.testing.assert_array_equal(obs, kept)
