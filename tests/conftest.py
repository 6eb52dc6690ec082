"""Fixtures that every test may use."""

from pathlib import Path

import hypothesis
import pytest
import torch

# Thirty cases where a test asks for no number of its own keep the suite within five minutes. No deadline: the machine
# may be busy with other things.
hypothesis.settings.register_profile("suite", max_examples=30, deadline=None)
hypothesis.settings.load_profile("suite")

torch.set_num_threads(1)  # the suite runs in two processes; work this small is not worth sharing

ROOT = Path(__file__).resolve().parent.parent


SLOW = ("test_web", "test_distributed", "test_driver", "test_trainer", "test_export", "test_native", "test_real_sweep")
SLOW += ("test_filming", "test_folder", "test_ppo", "test_conversion", "test_video")
"""Files that take half a minute or so go first, so that one process does not end with them while the other waits."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first, the rest in order."""
    items.sort(key=lambda item: item.path.stem not in SLOW)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings that may lie beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared motion data is not beside this checkout")
    return folder
