"""Joint actions: whose densities count, whose advantage, and what the modes have in common."""

import math
from dataclasses import replace

import pytest
import torch
from small_game import CPU, config

from puffer_phc.config import TrainConfig
from puffer_phc.config_checks import check
from puffer_phc.errors import InputError
from puffer_phc.game.joint_policy import JointPolicy, make_learner
from puffer_phc.game.options import GameConfig
from puffer_phc.game.partner import value_scale
from puffer_phc.game.team_ppo import TeamPPO
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training.ppo import METRIC_NAMES, PPO, Batch

KL, ERROR = METRIC_NAMES.index("approx_kl"), METRIC_NAMES.index("ratio_error_first")
TASK_NAMES = ["tracking", "amp"]


def batch_of(joint, rows=12, seed=0, agents=1):
    """A minibatch of joint actions near what the policy does."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=draw)

    obs = normal(rows, 1, joint.num_obs)
    state, fresh = torch.zeros(rows, 0), torch.zeros(rows, 1, dtype=torch.bool)
    with torch.no_grad():
        mean, value, _ = joint(obs, state, fresh)
        action = mean + 0.3 * joint.log_std.exp() * normal(*mean.shape)
        log_prob = joint.log_prob(mean, action) + 0.2 * normal(rows, 1, agents)
    value = value + 0.1 * normal(rows, 1)
    return Batch(obs, action, log_prob, value, normal(rows, 1, agents), normal(rows, 1), fresh, state)


@pytest.mark.parametrize("task", TASK_NAMES)
@pytest.mark.parametrize("mode", ["sarl", "marl", "oracle"])
def test_the_first_minibatch_finds_every_ratio_at_one(make_game, mode, task):
    _, _, learner = make_game(mode, task)
    learner.collect()
    metrics = learner.learn()
    assert metrics[ERROR] < 1e-3
    assert metrics[KL] > 0


def test_densities_are_of_what_an_agent_drew_itself(make_game):
    for trained in (False, True):
        _, game, _ = make_game("marl", train_human=trained)
        joint = game.joint
        obs, fresh = torch.randn(5, joint.num_obs), torch.zeros(5, dtype=torch.bool)
        mean, _ = joint.actor_step(obs, joint.initial_state(5), fresh)
        action = mean + 0.1 * torch.randn(5, 69)
        density = torch.distributions.Normal(mean, joint.log_std.exp()).log_prob(action)
        wanted = [density[:, joint._own].sum(1), density[:, joint._others].sum(1)][: 1 + trained]
        torch.testing.assert_close(joint.log_prob(mean, action), torch.stack(wanted, dim=1))
        other = action.clone()
        other[:, joint._others] += 5.0
        assert torch.equal(joint.log_prob(mean, other)[:, 0], joint.log_prob(mean, action)[:, 0])


@pytest.mark.parametrize("task", TASK_NAMES)
def test_sarl_and_marl_without_conditioning_have_one_loss(make_game, task):
    cfg, game, _ = make_game("marl", task, condition_critic=False, train={"entropy_coef": 0.01})
    joint = game.joint
    batch = batch_of(joint)
    own = joint._own
    alone = Batch(
        joint.learner.obs_norm(batch.obs),
        batch.action[..., own],
        batch.log_prob[..., 0],
        batch.value,
        batch.advantage[..., 0],
        batch.returns,
        batch.fresh,
        batch.state,
    )
    together, metrics = TeamPPO(joint, cfg.train).loss(batch)
    single, wanted = PPO(joint.learner, cfg.train).loss(alone)
    torch.testing.assert_close(together, single, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(metrics, wanted, rtol=1e-4, atol=1e-5)
    learner = [parameter for parameter in joint.learner.parameters() if parameter.requires_grad]
    pairs = zip(torch.autograd.grad(together, learner), torch.autograd.grad(single, learner), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_gradients_reach_those_who_learn_and_nobody_else(make_game):
    for trained in (False, True):
        cfg, game, _ = make_game("marl", train_human=trained)
        joint = game.joint
        TeamPPO(joint, cfg.train).loss(batch_of(joint, agents=1 + trained))[0].backward()
        touched = {name for name, p in joint.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        assert {"learner.mean_head.weight", "learner.value_head.weight"} <= touched
        assert ("human.mean_head.weight" in touched) == trained
        assert not any(name.startswith(("human.critic", "human.value_head")) for name in touched)
        if trained:  # of its own part of the body alone
            rows = joint.human.mean_head.weight.grad.abs().sum(1)
            assert torch.equal(rows[joint._own], torch.zeros(9))
            assert (rows[joint._others] > 0).all()


def test_each_agent_has_its_own_ratio(make_game):
    """Where the human's ratio is beyond the clip, the learner still learns, and the other way round."""
    cfg, game, _ = make_game("marl", train_human=True, condition_critic=False)
    joint = game.joint
    batch = batch_of(joint, rows=2, agents=2)
    with torch.no_grad():
        mean, _, _ = joint(batch.obs, batch.state, batch.fresh)
        now = joint.log_prob(mean, batch.action)
    old = now - torch.tensor([[[0.0, 2.0]], [[2.0, 0.0]]])  # ratios 1 and e^2
    advantage = torch.tensor([[[1.0, 1.0]], [[-1.0, -1.0]]])  # standardised: +-0.707
    batch = Batch(batch.obs, batch.action, old, batch.value, advantage, batch.returns, batch.fresh, batch.state)
    ppo = TeamPPO(joint, cfg.train)
    ppo.standardise_(batch.advantage)
    _, metrics = ppo.loss(batch)
    a, high = math.sqrt(0.5), 1 + cfg.train.clip
    learner = (a * 1 - a * math.e**2) / 2
    human = (a * high - a * 1) / 2
    assert float(metrics[0]) == pytest.approx(-(learner + human), rel=1e-4)
    assert float(metrics[5]) == pytest.approx(0.5)  # clip fraction over both agents


def test_the_learners_advantage_leaves_out_what_the_partner_explains(make_game):
    _, game, learner = make_game("marl", train_human=True)
    joint, ppo, buffer = game.joint, learner.ppo, learner.buffer
    learner.collect()
    team, _ = learner.advantages()
    shares = ppo.shares(buffer, team)
    assert torch.equal(shares[..., 1], team)
    known = joint.values_knowing(buffer.obs.flatten(0, 1)[:, None], buffer.actions.flatten(0, 1)[:, None])
    wanted = team - (known.view_as(team) - buffer.values)
    torch.testing.assert_close(shares[..., 0], wanted.detach())
    # The baseline hears of the partner and of nobody else.
    obs, action = buffer.obs[0][:, None], buffer.actions[0][:, None]
    mine, theirs = action.clone(), action.clone()
    mine[..., joint._own] += 1.0
    theirs[..., joint._others] += 0.1
    assert torch.equal(joint.values_knowing(obs, mine), joint.values_knowing(obs, action))
    assert not torch.equal(joint.values_knowing(obs, theirs), joint.values_knowing(obs, action))


def test_a_conditioned_critic_learns_how_much_the_partner_matters(make_game):
    """Returns that are the partner's first deviation: the critic explains them, and the learner's share shrinks."""
    cfg, game, _ = make_game("marl", train={"learning_rate": 3e-3, "target_kl": 0.0, "value_clip": 0.0})
    joint = game.joint
    ppo = TeamPPO(joint, cfg.train)
    rows = 256
    batch = batch_of(joint, rows)
    action = batch.action.clone()
    partner = torch.randn(rows, generator=torch.Generator().manual_seed(9))
    first = joint._others[0]
    action[:, 0, first] = 0.5 * partner  # of noise e^-1.5 = 0.22
    batch = Batch(
        batch.obs * 0.01,
        action,
        batch.log_prob,
        torch.zeros(rows, 1),
        torch.zeros(rows, 1, 1),
        partner[:, None],
        batch.fresh,
        batch.state,
    )
    for _ in range(80):
        ppo.step(*vars(batch).values())
    with torch.no_grad():
        blind = joint.values(batch.obs, batch.state, batch.fresh)[0]
        known = joint.values_knowing(batch.obs, batch.action)
    assert (batch.returns - known).var() < 0.1 * batch.returns.var()
    assert (batch.returns - (known - blind)).var() < 0.3 * batch.returns.var()


def test_credit_is_reported(make_game):
    _, _, learner = make_game("marl", train_human=True)
    learner.collect()
    learner.learn()
    metrics = learner.more_metrics()
    assert set(metrics) == {"game/learner_gain", "game/human_gain", "game/explained_by_partner"}
    assert all(math.isfinite(value) for value in metrics.values())
    _, _, learner = make_game("oracle")
    learner.collect()
    learner.learn()
    assert set(learner.more_metrics()) == {"game/learner_gain"}
    assert make_game("sarl")[2].more_metrics() == {}


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_oracles_value_is_the_partners(make_game, task):
    _, game, learner = make_game("oracle", task)
    assert game.joint.value_scale == pytest.approx(1.0)
    human = {name: tensor.clone() for name, tensor in game.joint.human.state_dict().items()}
    for _ in range(2):
        learner.collect()
        raw = learner.buffer.obs  # as the environment gave them
        partner = game.joint.human
        wanted = torch.stack([partner.value(partner.obs_norm(obs), torch.zeros(len(obs), 0)) for obs in raw])
        torch.testing.assert_close(learner.buffer.values, wanted, rtol=1e-5, atol=1e-6)
        learner.learn()
    assert all(torch.equal(tensor, human[name]) for name, tensor in game.joint.human.state_dict().items())


def test_an_oracle_of_another_scale_is_converted_and_of_another_value_refused(make_game, human_file):
    mine = config()
    theirs = config(train=TrainConfig(reward_scale=0.3))
    assert value_scale(mine, theirs, "x") == pytest.approx(0.1)  # 1 - gamma is 0.03
    with pytest.raises(InputError, match=r"discount of 0.5, the game's is 0.97"):
        value_scale(mine, config(train=TrainConfig(gamma=0.5)), "x")
    with pytest.raises(InputError, match="values style, the team is rewarded for tracking"):
        value_scale(mine, config("amp"), "x")
    with pytest.raises(InputError, match="values tracking, the team is rewarded for survival"):
        make_game("oracle", reward="survival")


def test_what_joint_actions_do_not_go_with_is_refused():
    cfg = config(game=GameConfig(mode="marl"))
    cases = [
        (replace(cfg, policy=replace(cfg.policy, kind="lstm")), "--policy.kind lstm"),
        (replace(cfg, train=replace(cfg.train, separate=True)), "--train.separate"),
        (replace(cfg, game=GameConfig(mode="sarl", train_human=True)), "--game.train_human"),
        (replace(cfg, game=GameConfig(mass_scale=0.0)), "--game.mass_scale"),
        (replace(cfg, env=replace(cfg.env, task="deepmimic")), "deepmimic"),
        (config("amp", game=GameConfig(mode="sarl", reward="tracking")), "--game.reward tracking"),
    ]
    for bad, told in cases:
        with pytest.raises(InputError, match=told):
            check(bad)
    check(cfg)


def test_the_step_of_every_mode_is_one_graph(make_game):
    """What a GPU compiles can be compiled as a whole; traced here without generating code."""
    for mode in ("sarl", "marl"):
        _, game, learner = make_game(mode)
        obs, fresh = game.env.reset(), torch.zeros(6, dtype=torch.bool)

        def whole(function):
            return torch.compile(function, backend="eager", fullgraph=True, dynamic=False)

        with torch.no_grad():
            joint, state = game.joint, game.joint.initial_state(6)
            noise = torch.zeros(6, 69)
            if mode == "sarl":
                mean, _ = whole(game.env._mean_of_partner)(obs, torch.zeros(6, 0), fresh)
                whole(game.env._joined)(mean, noise[:, :60], noise[:, :9])
                continue
            whole(learner.runner._before_env)(noise, None)
        whole(joint)(obs[:, None], state, fresh[:, None], noise[:, None])[1].sum().backward()


def test_a_joint_policy_puts_actions_in_the_order_of_the_body():
    cfg = config().policy
    torch.manual_seed(0)
    human, learner = ActorCritic(7, 5, cfg, cfg.hidden), make_learner(7, 2, cfg, cfg.hidden)
    for policy, value in ((human, 1.0), (learner, 2.0)):
        torch.nn.init.zeros_(policy.mean_head.weight)
        policy.mean_head.bias.data = value + 0.1 * torch.arange(policy.num_actions)
    joint = JointPolicy(human, learner, [3, 1])
    mean, _ = joint.act(torch.zeros(1, 7), joint.initial_state(1), torch.zeros(1, dtype=torch.bool))
    torch.testing.assert_close(mean[0], torch.tensor([1.0, 2.1, 1.2, 2.0, 1.4]))
    assert joint.initial_state(3).device == CPU
