"""Compact tables against full ones, and the packed file: what it keeps, what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_phc.cli import main
from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.packed import SUFFIX, is_packed, open_packed, write_packed
from puffer_phc.robots.smpl import smpl_robot

ROBOT, CPU = smpl_robot(), torch.device("cpu")


def clip(frames, fps, seed):
    """A smooth random motion of all joints."""
    generator = torch.Generator().manual_seed(seed)
    steps = 0.05 * torch.randn(frames, 24, 3, generator=generator, dtype=torch.float64)
    angles = steps.cumsum(0)
    half = 0.5 * angles.norm(dim=-1, keepdim=True)
    rot = torch.cat((half.cos(), 0.5 * angles * torch.sinc(half / torch.pi)), dim=-1)
    root = 0.03 * torch.randn(frames, 3, generator=generator, dtype=torch.float64)
    return MotionClip(f"clip{seed}", fps, ROBOT.body_names, root.cumsum(0), rot)


CLIPS = [clip(20, 30.0, 0), clip(5, 60.0, 1), clip(33, 25.0, 2)]
FULL = MotionLibrary(CLIPS, ROBOT, storage="full")
COMPACT = MotionLibrary(CLIPS, ROBOT, storage="compact")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / f"data{SUFFIX}"
    write_packed(path, iter(CLIPS), ROBOT, "contact")
    return path


def same_rotation(a, b, atol):
    torch.testing.assert_close((a * b).sum(-1).abs(), torch.ones(a.shape[:-1]), rtol=0, atol=atol**2)


def agree(a, b):
    torch.testing.assert_close(a.body_pos, b.body_pos, rtol=0, atol=2e-4)
    same_rotation(a.body_rot, b.body_rot, 1e-3)
    same_rotation(a.local_rot, b.local_rot, 1e-3)
    for name in ("body_vel", "body_ang_vel"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(a.dof_vel, b.dof_vel, rtol=1e-3, atol=5e-3)  # two roundings of 3e-5 rad, times 60 / s


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-0.2, 1.5)), min_size=1, max_size=4))
def test_compact_is_full_to_its_precision(queries):
    ids, times = (torch.tensor(x) for x in zip(*queries, strict=True))
    times = times.float()
    agree(COMPACT.state_at(ids, times), FULL.state_at(ids, times))
    a, b = COMPACT.dof_pos_at(ids, times), FULL.dof_pos_at(ids, times)
    torch.testing.assert_close(a, b, rtol=0, atol=2e-4)


def test_on_frames_too_also_the_last():
    ids, frames = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 19, 0, 4, 7, 32])
    times = frames / FULL.fps[ids]
    assert COMPACT._moment(ids, times, False).blend is None
    agree(COMPACT.state_at(ids, times), FULL.state_at(ids, times))


def test_forty_hours_fit():
    assert COMPACT.table.bytes_per_frame * 40 * 3600 * 30 < 2.5e9
    assert FULL.table.bytes_per_frame > 4 * COMPACT.table.bytes_per_frame


def test_the_file_keeps_everything(file):
    library = open_packed(file, ROBOT, CPU)
    assert is_packed(file)
    assert library.names == COMPACT.names
    for name in ("num_frames", "fps", "duration"):
        assert torch.equal(getattr(library, name), getattr(COMPACT, name))
    for name, array in COMPACT.table.arrays.items():
        assert torch.equal(library.table.arrays[name], array), name


@pytest.mark.parametrize(("rank", "names"), [(0, ("clip0", "clip2")), (1, ("clip1",))])
def test_shards(file, rank, names):
    """Each rank has its clips, and in them what the whole has."""
    part = open_packed(file, ROBOT, CPU, rank, 2)
    assert part.names == names
    own, whole = torch.arange(len(names)), torch.tensor([COMPACT.names.index(name) for name in names])
    times = torch.full((len(names),), 0.05)
    for a, b in zip(part.state_at(own, times), COMPACT.state_at(whole, times), strict=True):
        assert torch.equal(a, b)


def test_more_ranks_than_clips(file):
    with pytest.raises(InputError, match="3 clips cannot be shared among 4"):
        open_packed(file, ROBOT, CPU, 0, 4)


def spoiled(file, tmp_path, change):
    data = torch.load(file, weights_only=True)
    change(data)
    path = tmp_path / f"bad{SUFFIX}"
    torch.save(data, path)
    return path


CHANGES = {
    "is no packed data set": lambda data: data.update(format="other"),
    "version": lambda data: data.update(version=2),
    "packed for robot": lambda data: data.update(body_names=["Pelvis"]),
    "table of clips": lambda data: data.update(names=["a", "b"]),
    "fewer than two frames": lambda data: data["num_frames"].sub_(19),
    "local_rot is missing": lambda data: data["arrays"].update(local_rot=data["arrays"]["local_rot"][:-1]),
    "vel is missing": lambda data: data["arrays"].update(vel=data["arrays"]["vel"].float()),
    "root_pos holds NaN": lambda data: data["arrays"]["root_pos"][3].fill_(float("nan")),
    "do not end where": lambda data: data["arrays"]["last"].roll(1).clone().copy_(data["arrays"]["last"].zero_()),
}


@pytest.mark.parametrize("fault", CHANGES)
def test_damaged_files_are_refused(file, tmp_path, fault):
    with pytest.raises(InputError, match=fault):
        open_packed(spoiled(file, tmp_path, CHANGES[fault]), ROBOT, CPU)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(file, tmp_path, share):
    path = tmp_path / f"short{SUFFIX}"
    path.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(InputError, match="no readable archive"):
        open_packed(path, ROBOT, CPU)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_packed(tmp_path / f"none{SUFFIX}", ROBOT, CPU)


def test_nothing_to_pack(tmp_path):
    with pytest.raises(InputError, match="no clip"):
        write_packed(tmp_path / f"none{SUFFIX}", [], ROBOT, "off")
    assert not list(tmp_path.iterdir())


def test_other_bodies_are_refused(tmp_path):
    other = replace(CLIPS[0], body_names=("x", *ROBOT.body_names[1:]))
    with pytest.raises(InputError, match="Pelvis"):
        write_packed(tmp_path / f"none{SUFFIX}", [other], ROBOT, "off")


def test_training_on_it(file, tmp_path):
    """A short run on the packed file, by the program."""
    arguments = ["--env.motion_file", str(file), "--device", "cpu", "--env.num_envs", "4", "--policy.hidden", "8"]
    arguments += ["--train.total_steps", "32", "--train.time_limit", "-1", "--eval.video", "false"]
    assert main([*arguments, "--output", str(tmp_path), "--name", "run"]) == 0
    rows = (tmp_path / "run" / "eval" / "motions.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[0] for row in rows] == list(COMPACT.names)
    assert np.isfinite([float(row.split("\t")[4]) for row in rows]).all()
