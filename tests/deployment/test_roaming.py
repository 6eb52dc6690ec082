"""Policies that follow no motion, in plain MuJoCo: against the environment, and by the command line."""

import re

import numpy as np
import pytest
import torch
from small_policy import edited
from small_roamers import make_roamer, robot_config, swaying
from test_sim2sim import command

from puffer_phc import cli
from puffer_phc.config import ROOT, Config
from puffer_phc.deployment.folder import Deployment
from puffer_phc.deployment.roaming import Roamer, describe_episodes
from puffer_phc.deployment.sim2sim import run
from puffer_phc.errors import InputError
from puffer_phc.factory import make_robot
from puffer_phc.motions.formats.npz import write
from puffer_phc.training import checkpoint


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A G1 stand-in, trained for two updates and exported by the command line: its run folder."""
    folder = tmp_path_factory.mktemp("trained")
    config = robot_config("mjcf", str(folder))
    write(folder / "sway.npz", [swaying(make_robot(Config(robot=config)), frames=61)])
    robot = ["--robot.mjcf", config.mjcf, "--robot.settings", config.settings]
    small = ["--env.num_envs", "8", "--policy.hidden", "16", "--style.hidden", "8", "--style.batch", "16"]
    small += ["--style.demo_buffer", "64", "--style.demo_fresh", "8", "--style.replay_buffer", "256"]
    short = ["--env.episode_steps", "60", "--train.total_steps", "256", "--train.eval_interval", "0"]
    short += ["--eval.num_envs", "4", "--eval.video", "false"]
    run_folder = ["--output", str(folder), "--name", "g1", "--device", "cpu", "--dashboard", "false"]
    g1 = ["--config", str(ROOT / "configs" / "g1_amp.ini"), *robot, "--env.motion_file", str(folder / "sway.npz")]
    assert cli.main([*g1, *small, *short, *run_folder]) == 0
    assert cli.main(["--mode", "export", "-c", str(folder / "g1"), "--eval.num_envs", "4"]) == 0
    return folder / "g1"


@pytest.fixture
def folder(exported):
    return exported / "export"


def test_states_stay_with_the_trainers_step_by_step(exported, tmp_path):
    """From the clip's beginning, towards the same command, at the trained time step."""
    env, _ = make_roamer("mjcf", tmp_path, "command", frames=61, state_init="start", fall="never")
    data = checkpoint.load(exported)
    policy = checkpoint.load_policy(data, env.robot.name, env.num_obs, env.num_actions, "it")
    folder = with_task(exported / "export", tmp_path, state_init="start", fall="never")
    roamer = Roamer(Deployment(folder, timestep=0), np.array([1.0, 0.1, 0.2]))
    env.reset()
    env.task.goal.copy_(torch.tensor([1.0, 0.1, 0.2]))
    obs, wanted = env.task.observe(), []
    for _ in range(8):
        with torch.no_grad():
            action, _ = policy.act(obs, policy.initial_state(4), torch.zeros(4, dtype=torch.bool))
        obs = env.step(action)[0]
        wanted.append(env.simulator.qpos()[0].numpy().copy())
    seen = []
    roamer.play(8, (0,), lambda qpos, step: seen.append(qpos))
    np.testing.assert_allclose(seen, wanted, atol=2e-4)


def test_episodes_are_judged_as_the_trainers(folder):
    """A policy that cannot stand, from other starts: it falls as soon as in the trainer's evaluation."""
    deployment = Deployment(folder, timestep=0)
    roamer, trained = Roamer(deployment), deployment.metadata.task.evaluation
    episodes = [roamer.play(60, (1, number)) for number in range(8)]
    assert (trained.episodes, trained.fall_rate) == (4, 1.0)
    assert all(episode.fell for episode in episodes)
    assert np.mean([episode.steps for episode in episodes]) == pytest.approx(trained.steps, rel=0.3)
    assert 0 < trained.task_reward < 2
    assert all(len(episode.errors) == 2 and min(episode.errors) > 0 for episode in episodes)


def test_an_episode_is_its_seeds(folder):
    roamer = Roamer(Deployment(folder))
    first, again, other = (roamer.play(20, (seed,)) for seed in (3, 3, 4))
    assert first == again
    assert first.errors != other.errors  # other commands


def test_starts(folder, tmp_path):
    generator = np.random.default_rng(0)
    names = {}
    for state_init in ("start", "random", "default", "hybrid"):
        roamer = Roamer(Deployment(with_task(folder, tmp_path / state_init, state_init=state_init)))
        names[state_init] = {roamer.start(generator).name for _ in range(60)}
    assert names["start"] == {"sway, frame 0"}
    assert names["default"] == {"standing"}
    assert len(names["random"]) > 20
    assert "standing" not in names["random"]
    assert "standing" in names["hybrid"]
    assert 10 < len(names["hybrid"]) < len(names["random"])
    alone = with_task(folder, tmp_path / "alone")
    (alone / "motions.npz").unlink()
    assert Roamer(Deployment(alone)).starts == "standing"


def with_task(folder, target, **changes):
    """A copy of an exported folder whose task says something else."""
    task = Deployment(folder).metadata.task
    return edited(folder, target, task={**vars(task), "evaluation": None, **changes})


def test_standing_is_the_trainers(folder, tmp_path):
    env, _ = make_roamer("mjcf", tmp_path)
    start = Roamer(Deployment(folder), standing=True).start(np.random.default_rng(0))
    state = env.robot.default_state()
    np.testing.assert_allclose(start.qpos, env.robot.qpos(state.root_pos, state.local_rot)[0], atol=1e-6)


def test_the_command_line_says_who_fell(folder):
    """Trained, exported and played where neither torch nor training code can be imported."""
    result = command(folder, "--episodes", "3", "--command", "1", "0", "0")
    assert result.returncode == 1, result.stderr
    assert not result.stderr
    assert "3 episodes of 2.0 s, goal command 1 0 0, from anywhere in 1 clip(s):" in result.stdout
    assert re.search(r"up for \d+\.\d of 60 steps \(shortest \d+\), 3 of 3 fell \(100%\)", result.stdout)
    assert re.search(r"task reward \d\.\d+ a step, velocity error \d\.\d+ m/s, turning error", result.stdout)
    assert re.search(r"at or above the torque limit: \d+\.\d% of the time", result.stdout)
    assert "trainer's evaluation" not in result.stdout  # it asked for other commands


def test_the_trainers_figures_are_told(folder, capsys):
    assert run([str(folder), "--episodes", "2"]) == 1
    assert re.search(r"trainer's evaluation: \d+\.\d steps, 100% of 4 fell, task reward", capsys.readouterr().out)


def test_a_robot_that_stays_up_is_a_success(folder, tmp_path, capsys):
    upright = with_task(folder, tmp_path, fall="never")
    assert run([str(upright), "--episodes", "1", "--seconds", "0.3", "--standing"]) == 0
    assert "1 episodes of 0.3 s, goal command, from standing:" in capsys.readouterr().out


def test_a_video_shows_the_robot_alone(folder, tmp_path):
    result = command(folder, "--episodes", "1", "--seconds", "0.2", "--video", tmp_path / "out.mp4")
    if result.returncode == 2 and "OpenGL" in result.stderr:
        pytest.skip(result.stderr.strip())
    assert result.returncode in (0, 1), result.stderr
    assert (tmp_path / "out.mp4").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--location", "1", "0"], "--location: this policy's goal is 'command'; use --command FORWARD LEFT TURN"),
        (["--episodes", "0"], "--episodes: 0 are none"),
        (["--seconds", "0"], "--seconds: 0 s is no length"),
        (["--seed", "-1"], "--seed: -1 is negative"),
        (["--clip", "run"], "--clip: no clip 'run'"),
    ],
)
def test_faults_are_told(folder, arguments, told):
    with pytest.raises(InputError, match=re.escape(told)):
        run([str(folder), *arguments])


def test_options_of_one_kind_of_policy_are_refused_by_the_other(make_exported):
    with pytest.raises(InputError, match="--command: this policy follows motions; leave it out"):
        run([str(make_exported("mlp").folder), "--command", "1", "0", "0"])
    with pytest.raises(InputError, match="holds a policy that follows motions"):
        Roamer(Deployment(make_exported("mlp").folder))


def test_lines_of_episodes_are_means(folder):
    roamer = Roamer(Deployment(folder))
    episodes = [roamer.play(5, (number,)) for number in range(3)]
    lines = describe_episodes(episodes, 5, roamer.goal.errors, None)
    velocity = np.mean([episode.errors[0] for episode in episodes])
    assert f"velocity error {velocity:.2f} m/s" in lines[1]
    assert "(shortest 5), 0 of 3 fell (0%)" in lines[0]
