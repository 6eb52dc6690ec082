"""The body as the learner finds it: the partner acts as it was trained to, and nothing of it changes."""

import copy
from dataclasses import replace

import pytest
import torch
from small_game import HIDDEN

from puffer_phc.config import ROOT, Config, EnvConfig, PolicyConfig, to_dict
from puffer_phc.config_files import load_ini
from puffer_phc.envs.vec_env import generators_of
from puffer_phc.errors import InputError
from puffer_phc.game.options import GameConfig
from puffer_phc.game.setup import set_up
from puffer_phc.training import checkpoint

TASK_NAMES = ["tracking", "amp"]


def executed(env):
    """Lists what the body is told to do."""
    actions, step = [], env.step

    def spy(action):
        actions.append(action.clone())
        return step(action)

    env.step = spy
    return actions


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_body_does_the_partners_sample_and_the_learners_action(make_game, task):
    _, game, _ = make_game("sarl", task)
    env, joint = game.env, game.joint
    done = executed(env.env)
    env.reset()
    twin = torch.Generator()
    twin.set_state(env.partner_generator.get_state())
    others = joint._others
    for step in range(3):
        obs = env.obs.clone()
        action = torch.full((env.num_envs, env.num_actions), 0.1 * step)
        env.step(action)
        human = joint.human
        mean, _ = human.actor_step(human.obs_norm(obs), torch.zeros(len(obs), 0), env.done)
        noise = torch.randn(len(obs), len(others), generator=twin)
        wanted = mean[:, others] + human.log_std.exp()[others] * noise
        assert torch.equal(done[-1][:, others], wanted)  # bit for bit
        assert torch.equal(done[-1][:, joint._own], action)
        assert noise.abs().max() > 1  # a sample, not the mean


@pytest.mark.parametrize("mode", ["sarl", "marl", "oracle"])
@pytest.mark.parametrize("task", TASK_NAMES)
def test_training_leaves_the_partner_as_it_was(make_game, mode, task):
    _, game, learner = make_game(mode, task)
    before = {name: tensor.clone() for name, tensor in game.joint.human.state_dict().items()}
    own = {name: tensor.clone() for name, tensor in game.joint.learner.state_dict().items()}
    learner.warm_up()
    for name, tensor in game.joint.learner.state_dict().items():
        assert torch.equal(tensor, own[name]), name  # only then does learning begin
    for _ in range(2):
        learner.collect()
        learner.learn()
    for joint in (game.joint, game.tested(learner.averaged)):
        for name, tensor in joint.human.state_dict().items():
            assert torch.equal(tensor, before[name]), name
    changed = game.joint.learner.state_dict()
    assert not torch.equal(changed["mean_head.weight"], own["mean_head.weight"])
    assert not torch.equal(changed["obs_norm.mean"], own["obs_norm.mean"])
    assert torch.equal(changed["value_head.weight"], own["value_head.weight"]) == (mode == "oracle")


def test_nobody_changes_the_observations_that_all_share(make_game):
    for mode in ("sarl", "marl", "oracle"):
        _, game, _ = make_game(mode)
        obs = game.env.reset()
        kept = obs.clone()
        joint, fresh = game.joint, torch.zeros(len(obs), dtype=torch.bool)
        joint.step(joint.obs_norm(obs), joint.initial_state(len(obs)), fresh)
        joint.act(obs, joint.initial_state(len(obs)), fresh)
        joint(obs[:, None], joint.initial_state(len(obs)), fresh[:, None], torch.zeros(len(obs), 1, 69))
        if mode == "sarl":
            game.env._mean_of_partner(obs, torch.zeros(len(obs), 0), fresh)
        assert torch.equal(obs, kept)
        assert joint.obs_norm(obs) is obs


def test_the_partners_luck_is_its_own_and_is_saved(make_game):
    _, game, learner = make_game("sarl")
    learner_luck, world_luck = learner.runner.generator.get_state(), game.env.generator.get_state()
    game.env.env.step = lambda action: None
    game.env.step(torch.zeros(game.env.num_envs, game.env.num_actions))
    assert torch.equal(learner.runner.generator.get_state(), learner_luck)
    assert torch.equal(game.env.generator.get_state(), world_luck)
    assert generators_of(game.env) == (game.env.generator, game.env.partner_generator)


def test_a_recurrent_partner_remembers_its_episode_and_no_other(make_game, human_file):
    recurrent = PolicyConfig(kind="lstm", hidden=HIDDEN, lstm_size=8)
    human = human_file(name="lstm", policy=recurrent)
    _, game, _ = make_game("sarl", human=human)
    env = game.env
    env.reset()
    action = torch.zeros(env.num_envs, env.num_actions)
    env.step(action)
    first = env._state.clone()
    env.step(action)
    assert not torch.equal(env._state, first)
    env.env.terminated[0] = True
    obs = env.obs.clone()
    fresh, carried = torch.tensor([True] + [False] * (env.num_envs - 1)), env._state.clone()
    _, wanted = game.joint.human.actor_step(game.joint.human.obs_norm(obs), carried, fresh)
    _, forgotten = game.joint.human.actor_step(game.joint.human.obs_norm(obs), 0 * carried, fresh)
    env.step(action)
    assert torch.equal(env._state, wanted)
    assert torch.equal(env._state[0], forgotten[0])
    with pytest.raises(InputError, match="recurrent"):
        make_game("marl", human=human)


def test_a_partner_of_another_kind_is_refused(make_game, human_file, bodies):
    with pytest.raises(InputError, match="is for robot 'amp_humanoid', not 'smpl'"):
        make_game("sarl", human=human_file("amp"))
    with pytest.raises(InputError, match="is needed for a game"):
        _without_human(make_game)
    with pytest.raises(InputError, match="no agent 'dog'"):
        make_game("sarl", learner="dog")


def _without_human(make_game):
    cfg, game, _ = make_game("sarl")
    cfg = replace(cfg, game=GameConfig(mode="sarl"))
    return set_up(cfg, game.env.env, None, torch.device("cpu"), 0)


def test_a_partner_that_means_something_else_by_its_actions_is_refused(make_game, human_file):
    human = human_file(name="absolute", env=EnvConfig(num_envs=1, action_mode="absolute"))
    with pytest.raises(InputError, match="action_mode absolute, the game has reference"):
        make_game("sarl", human=human)


@pytest.mark.parametrize("mode", ["sarl", "marl"])
def test_a_saved_game_acts_as_it_did_and_can_be_gone_on_with(make_game, tmp_path, mode):
    cfg, game, learner = make_game(mode)
    learner.collect()
    learner.learn()
    joint = game.tested(learner.averaged)
    data = {"config": to_dict(cfg), "robot": "smpl", "num_obs": joint.num_obs, "num_actions": joint.num_actions}
    checkpoint.save(tmp_path / "game.pt", {**data, "policy": joint.state_dict(), "game": game.saved})
    loaded = checkpoint.load(tmp_path / "game.pt")
    policy = checkpoint.load_policy(loaded, "smpl", joint.num_obs, 69, "game.pt")
    obs, fresh = game.env.reset(), torch.zeros(6, dtype=torch.bool)
    assert torch.equal(
        policy.act(obs, policy.initial_state(6), fresh)[0], joint.act(obs, joint.initial_state(6), fresh)[0]
    )
    body = game.env.env if mode == "sarl" else game.env
    again = set_up(replace(cfg, game=replace(cfg.game, human_checkpoint="")), body, loaded, torch.device("cpu"), 3)
    for one, other in zip(again.joint.parameters(), joint.parameters(), strict=True):
        assert torch.equal(one, other)
    damaged = copy.deepcopy(loaded)
    damaged["game"]["dofs"] = [0, 0, 99]
    with pytest.raises(InputError, match="does not fit"):
        checkpoint.load_policy(damaged, "smpl", joint.num_obs, 69, "game.pt")


def test_the_preset_steps_like_humanipro():
    amp = load_ini(Config(), ROOT / "configs" / "amp.ini")
    cfg = load_ini(amp, ROOT / "configs" / "game.ini")
    assert cfg.robot.timestep == pytest.approx(1 / 180)
    assert cfg.robot.control_dt == pytest.approx(2 / 180)
    assert cfg.game.mode == "sarl"
    assert (cfg.policy, cfg.train) == (amp.policy, amp.train)  # the human, which must learn first, learns as there
    fixed = load_ini(cfg, ROOT / "configs" / "game_fixed_rate.ini").train
    assert (fixed.learning_rate, fixed.target_kl, fixed.epochs) == (5e-5, 0.0, 6)
