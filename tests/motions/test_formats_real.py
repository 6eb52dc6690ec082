"""Every real file in the shared folder loads or is refused with a reason.

The 273 CMU clips are sampled (every seventh of each format); PUFFER_ALL_CLIPS=1 reads them all (a minute).
"""

import csv
import os
from collections import Counter

import pytest

from puffer_phc.errors import InputError
from puffer_phc.motions.checks import check_clip
from puffer_phc.motions.formats import read_file

EVERY = 1 if os.environ.get("PUFFER_ALL_CLIPS") else 7
RIGS = {
    "amc": "cmu_asf", "bvh_mb": "cmu_bvh_cgspeed", "bvh_daz": "cmu_bvh_daz", "bvh_max": "cmu_bvh_3dsmax",
    "expmap_txt": "cmu_bvh_cgspeed", "dm_txt": "deepmimic",
}  # fmt: skip


@pytest.fixture(scope="session")
def rows(cmu_train):
    with (cmu_train / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", RIGS)
def test_cmu_clips_have_the_frames_and_rates_of_their_index(cmu_train, rows, kind):
    chosen = [row for row in rows if row["format"] == kind][::EVERY]
    assert chosen
    for row in chosen:
        (clip,) = read_file(cmu_train / row["file"])
        check_clip(clip)
        assert clip.fps == pytest.approx(float(row["fps"]), abs=1e-3), row["file"]
        assert clip.num_frames == int(row["frames"]), row["file"]
        assert clip.rig == RIGS[kind]
        pos, _ = clip.skeleton.forward_kinematics(clip.root_pos[::10], clip.local_rot[::10])
        # On the floor, of a human's size, no faster than a human: the units, axes and rates are right.
        lowest = float(pos[..., 2].min(dim=1).values.quantile(0.1))
        assert -0.25 < lowest < 0.35, (row["file"], lowest)
        assert 0.8 < float((pos[..., 2].max(dim=1).values - pos[..., 2].min(dim=1).values).max()) < 2.4, row["file"]
        assert float((clip.root_pos[1:] - clip.root_pos[:-1]).norm(dim=-1).max()) * clip.fps < 12, row["file"]


def test_all_other_files_load_or_are_refused_with_a_reason(shared_data):
    counts, refused = Counter(), {}
    for path in sorted((shared_data / "formats").rglob("*.*")):
        try:
            for clip in read_file(path):
                check_clip(clip)
            counts[path.parent.name] += 1
        except InputError as error:
            refused[path.name] = str(error)
    assert counts == {"igym_amp": 6, "mimickit_smpl": 20, "mimickit_humanoid": 8, "single": 3}
    assert {name: reason.partition(": ")[2][:40] for name, reason in refused.items()} == {
        "LICENSE.txt": "in no known motion format; give a motion",
        "02.asf": "it is a skeleton without a motion; give ",
        "02_01.amc": "the file has no frame rate; give --fps (",
        "humanoid_walk.pkl": "frames holds NaN or infinite values from",
    }
