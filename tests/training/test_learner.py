"""The running mean of the policy, and one whole iteration."""

import torch


def parameters(policy):
    return [parameter.detach().clone() for parameter in policy.parameters()]


def iterate(learner):
    learner.collect()
    learner.learn()
    return parameters(learner.policy)


def test_the_mean_follows_the_updates(make_learner):
    """Weights 1, 2/3, 2/4, ... until they reach ``1 - average``, here 0.55."""
    learner = make_learner(average=0.45, learning_rate=1e-3)
    expected = iterate(learner)
    for weight in (2 / 3, 0.55, 0.55):
        for mean, mine in zip(learner.averaged.parameters(), expected, strict=True):
            torch.testing.assert_close(mean, mine)
        latest = iterate(learner)
        expected = [torch.lerp(old, new, weight) for old, new in zip(expected, latest, strict=True)]
        assert not all(torch.equal(a, b) for a, b in zip(expected, latest, strict=True))
    for mean, mine in zip(learner.averaged.parameters(), expected, strict=True):
        torch.testing.assert_close(mean, mine)


def test_an_average_of_zero_keeps_the_latest(make_learner):
    learner = make_learner(average=0.0, learning_rate=1e-3)
    for _ in range(3):
        latest = iterate(learner)
        assert all(torch.equal(a, b) for a, b in zip(learner.averaged.parameters(), latest, strict=True))


def test_the_mean_sees_through_the_latest_statistics_and_is_not_trained(make_learner):
    learner = make_learner()
    for _ in range(3):
        iterate(learner)
    for name, tensor in learner.policy.obs_norm.state_dict().items():
        assert torch.equal(learner.averaged.obs_norm.state_dict()[name], tensor), name
    assert not any(parameter.requires_grad for parameter in learner.averaged.parameters())
    trained = {id(p) for group in learner.ppo.optimizer.param_groups for p in group["params"]}
    assert not trained & {id(parameter) for parameter in learner.averaged.parameters()}


def test_trained_noise_is_averaged_too(make_learner):
    learner = make_learner(average=0.9, entropy_coef=1.0, learning_rate=1e-2, target_kl=0.0, learn_std=True)
    for _ in range(3):
        iterate(learner)
    averaged, latest = learner.averaged.log_std, learner.policy.log_std
    assert latest.min() > -1.5
    assert (averaged > -1.5).all()
    assert (averaged < latest).all()


def test_equal_seeds_give_equal_runs(make_learner):
    first, second = make_learner("lstm"), make_learner("lstm")
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(iterate(first), iterate(second), strict=True))
    assert torch.equal(first.buffer.rewards, second.buffer.rewards)
