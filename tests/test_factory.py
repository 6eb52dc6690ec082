"""From options to a library: manifests with splits and weights, and shares of a data set."""

from dataclasses import replace

import pytest
import torch

from puffer_phc.config import ROOT, Config
from puffer_phc.errors import InputError
from puffer_phc.factory import make_library, make_robot

CPU = torch.device("cpu")
MANIFEST = """format: puffer_phc.dataset
version: 1
files:
  - path: walk.npz
    weight: 3.0
  - path: squat.npz
  - path: held_out.npz
    split: test
"""


@pytest.fixture
def manifest(tmp_path):
    samples = ("walk", "squat_and_wave", "weight_shift_turn")
    for name, sample in zip(("walk", "squat", "held_out"), samples, strict=True):
        (tmp_path / f"{name}.npz").symlink_to(ROOT / "sample_data" / f"{sample}.npz")
    (tmp_path / "data.yaml").write_text(MANIFEST)
    return tmp_path / "data.yaml"


def library(path, rank=0, ranks=1, **options):
    cfg = Config()
    cfg = replace(cfg, env=replace(cfg.env, motion_file=str(path), **options))
    return make_library(cfg, make_robot(cfg), CPU, rank, ranks)


def test_a_manifest_tells_splits_and_weights(manifest):
    train, test = library(manifest, split="train"), library(manifest, split="test")
    assert (train.num_clips, test.num_clips) == (2, 1)
    assert train.weights.tolist() == [3.0, 1.0]
    assert test.weights is None  # one clip, or all alike: nothing to weigh
    with pytest.raises(InputError, match="valid"):
        library(manifest, split="valid")


def test_ranks_share_the_clips(manifest):
    parts = [library(manifest, rank, 2, shard=True) for rank in range(2)]
    assert sorted(name for part in parts for name in part.names) == sorted(library(manifest).names)
    assert [part.num_clips for part in parts] == [2, 1]
    with pytest.raises(InputError, match="3 clips cannot be shared among 4"):
        library(manifest, 0, 4, shard=True)
