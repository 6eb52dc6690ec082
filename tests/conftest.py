"""Fixtures that every test may use."""

from pathlib import Path

import hypothesis
import pytest
import torch

# Forty cases where a test asks for no number of its own keep the suite within five minutes. No deadline: the machine
# may be busy with other things.
hypothesis.settings.register_profile("suite", max_examples=40, deadline=None)
hypothesis.settings.load_profile("suite")

torch.set_num_threads(1)  # the suite runs in two processes; work this small is not worth sharing

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings that may lie beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared motion data is not beside this checkout")
    return folder
