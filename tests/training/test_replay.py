"""The circular store: everything until it is full, a few afterwards."""

import pytest
import torch

from puffer_phc.training.replay import ReplayBuffer

CPU = torch.device("cpu")


def numbered(first, count):
    return torch.arange(first, first + count, dtype=torch.float32)[:, None]


def test_the_oldest_are_replaced_where_everything_is_kept():
    buffer = ReplayBuffer(5, 1, 1.0, CPU)
    buffer.add(numbered(0, 3))
    assert len(buffer) == 3
    buffer.add(numbered(3, 3))
    assert len(buffer) == 5
    assert sorted(buffer.rows[:5, 0].tolist()) == [1, 2, 3, 4, 5]
    buffer.add(numbered(6, 9))
    assert sorted(buffer.rows[:5, 0].tolist()) == [10, 11, 12, 13, 14]


def test_once_full_one_in_a_hundred_is_kept():
    """HumanoidAMP: about 655 of 65,536."""
    buffer = ReplayBuffer(100_000, 1, 0.01, CPU)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        buffer.add(torch.zeros(65_536, 1), generator)
    assert len(buffer) == 100_000
    buffer.add(torch.ones(65_536, 1), generator)
    kept = int(buffer.rows[:-1].sum())
    assert abs(kept - 655) < 4 * 655**0.5


@pytest.mark.parametrize("offered", [1, 7, 40])
def test_samples_are_of_what_was_offered(offered):
    buffer = ReplayBuffer(16, 1, 0.0, CPU)
    buffer.add(numbered(1, offered))
    drawn = buffer.sample(500).unique()
    assert set(drawn.tolist()) == set(range(max(1, offered - 15), offered + 1))
