"""Generalised advantages against the definition, written out per environment as a sum."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from puffer_phc.training.advantage import gae

NAMES = ("rewards", "values", "next_values", "terminated", "truncated")


@st.composite
def rollouts(draw, min_envs=1, max_envs=4):
    shape = (draw(st.integers(1, 8)), draw(st.integers(min_envs, max_envs)))
    numbers = hnp.arrays(np.float64, shape, elements=st.floats(-10, 10, width=32))
    flags = hnp.arrays(np.bool_, shape, elements=st.booleans())
    return {name: draw(numbers if index < 3 else flags) for index, name in enumerate(NAMES)}


def by_definition(rollout, env, gamma, lam):
    """Advantages of one environment: the sum of discounted errors up to the end of the episode, for every start."""
    reward, value, after, terminated, truncated = (rollout[name][:, env].tolist() for name in NAMES)
    steps = len(reward)
    out = []
    for start in range(steps):
        total = 0.0
        for step in range(start, steps):
            bootstrap = 0.0 if terminated[step] else gamma * after[step]
            total += (gamma * lam) ** (step - start) * (reward[step] + bootstrap - value[step])
            if terminated[step] or truncated[step]:
                break
        out.append(total)
    return out


def run(rollout, gamma, lam):
    advantages, targets = gae(*(torch.from_numpy(rollout[name]) for name in NAMES), gamma, lam)
    return advantages.numpy(), targets.numpy()


@settings(deadline=None)
@given(rollouts(), st.floats(0, 0.999), st.floats(0, 1))
def test_equals_the_definition(rollout, gamma, lam):
    advantages, targets = run(rollout, gamma, lam)
    for env in range(advantages.shape[1]):
        np.testing.assert_allclose(advantages[:, env], by_definition(rollout, env, gamma, lam), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(targets, advantages + rollout["values"], rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(rollouts(min_envs=2), rollouts(min_envs=2), st.data())
def test_environments_do_not_touch_each_other(rollout, other, data):
    changed = data.draw(st.integers(0, rollout["rewards"].shape[1] - 1))
    before, _ = run(rollout, 0.97, 0.9)
    for name in NAMES:
        column = np.resize(other[name], len(rollout[name]))
        rollout[name] = rollout[name].copy()
        rollout[name][:, changed] = column
    after, _ = run(rollout, 0.97, 0.9)
    untouched = [env for env in range(before.shape[1]) if env != changed]
    np.testing.assert_array_equal(before[:, untouched], after[:, untouched])


@settings(deadline=None)
@given(rollouts(), st.sampled_from(["terminated", "truncated"]), st.data())
def test_nothing_flows_back_over_an_end(rollout, how, data):
    steps = len(rollout["rewards"])
    end = data.draw(st.integers(0, steps - 1))
    rollout[how] = rollout[how].copy()
    rollout[how][end] = True
    before, _ = run(rollout, 0.97, 0.9)
    for name in ("rewards", "values", "next_values"):
        rollout[name] = rollout[name].copy()
        rollout[name][end + 1 :] += 100.0
    after, _ = run(rollout, 0.97, 0.9)
    np.testing.assert_array_equal(before[: end + 1], after[: end + 1])


@pytest.mark.parametrize(("terminated", "truncated", "delta"), [(0, 0, 6.0), (0, 1, 6.0), (1, 0, -1.0)])
def test_truncation_bootstraps_and_termination_does_not(terminated, truncated, delta):
    one = torch.ones(1, 1)
    flags = (torch.tensor([[bool(flag)]]) for flag in (terminated, truncated))
    advantages, targets = gae(2 * one, 3 * one, 14 * one, *flags, 0.5, 0.9)
    assert advantages.item() == pytest.approx(delta)
    assert targets.item() == pytest.approx(delta + 3)


def test_a_terminated_step_ignores_even_a_broken_value():
    rewards = torch.ones(1, 2)
    next_values = torch.tensor([[float("nan"), float("inf")]])
    over = torch.ones(1, 2, dtype=torch.bool)
    advantages, _ = gae(rewards, torch.zeros(1, 2), next_values, over, ~over, 0.9, 0.9)
    assert advantages.tolist() == [[1.0, 1.0]]


def test_hand_made_episode():
    # gamma 0.5, lambda 0.5: step 2 ends by the clock, step 3 begins another episode.
    column = lambda *numbers: torch.tensor(numbers)[:, None]  # noqa: E731
    advantages, _ = gae(
        column(1.0, 2.0, 3.0, 4.0),
        column(1.0, 1.0, 1.0, 1.0),
        column(1.0, 1.0, 8.0, 2.0),
        column(False, False, False, False),
        column(False, False, True, False),
        0.5,
        0.5,
    )
    # errors: 0.5, 1.5, 6, 4
    assert advantages[:, 0].tolist() == [0.5 + 0.25 * 3.0, 1.5 + 0.25 * 6.0, 6.0, 4.0]


@settings(deadline=None)
@given(rollouts(), st.floats(0, 0.999))
def test_lambda_zero_is_the_one_step_error(rollout, gamma):
    advantages, _ = run(rollout, gamma, 0.0)
    error = rollout["rewards"] + gamma * np.where(rollout["terminated"], 0, rollout["next_values"]) - rollout["values"]
    np.testing.assert_allclose(advantages, error, rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(rollouts(max_envs=2), st.floats(0, 0.999))
def test_lambda_one_is_the_discounted_return(rollout, gamma):
    """Values of consistent states cancel: what remains are rewards and the value at the end of the episode."""
    done = rollout["terminated"] | rollout["truncated"]
    rollout["next_values"][:-1] = np.where(done[:-1], rollout["next_values"][:-1], rollout["values"][1:])
    _, targets = run(rollout, gamma, 1.0)
    expected = np.zeros_like(targets)
    for env in range(expected.shape[1]):
        later = rollout["next_values"][-1, env]
        for step in reversed(range(len(expected))):
            if rollout["terminated"][step, env]:
                later = 0.0
            elif rollout["truncated"][step, env]:
                later = rollout["next_values"][step, env]
            later = rollout["rewards"][step, env] + gamma * later
            expected[step, env] = later
    np.testing.assert_allclose(targets, expected, rtol=1e-9, atol=1e-9)
