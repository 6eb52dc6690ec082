"""Shared by the tests of hyperparameter search."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Its matrices are too small to share; waiting threads would take the other cores from whoever else runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
