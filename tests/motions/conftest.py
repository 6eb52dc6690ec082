"""Fixtures of the motion tests."""

import os
import tarfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cmu_train(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 273 CMU clips in their original formats, extracted (7 s, 150 MB) or where PUFFER_CMU_TRAIN points."""
    ready = os.environ.get("PUFFER_CMU_TRAIN")
    if ready:
        return Path(ready)
    folder = tmp_path_factory.mktemp("cmu")
    with tarfile.open(shared_data / "cmu_train.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "train"
