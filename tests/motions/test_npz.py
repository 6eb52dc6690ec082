import zipfile

import numpy as np
import pytest
import torch
from clips import damage, load_or_refuse, one_line, random_clip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from puffer_phc.errors import InputError
from puffer_phc.motions.formats import npz
from puffer_phc.motions.loading import load_motions


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "two.npz"
    npz.write(path, [random_clip("walk", 7, 1), random_clip("jump", 9, 2, fps=29.97)])
    return path


def rewrite(path, **changes):
    with np.load(path) as file:
        arrays = dict(file)
    arrays.update(changes)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def test_round_trip_of_many_clips(stored):
    walk, jump = npz.read(stored)
    assert (walk.name, walk.fps, walk.num_frames) == ("walk", 30.0, 7)
    assert (jump.name, jump.fps, jump.num_frames) == ("jump", 29.97, 9)
    original = random_clip("jump", 9, 2)
    assert torch.equal(jump.root_pos, original.root_pos.float().double())
    assert torch.equal(jump.local_rot, original.local_rot.float().double())
    assert jump.body_names == original.body_names
    assert jump.source == str(stored)
    # Stored once more it is the same file: nothing is lost beyond float32.
    again = stored.with_name("again.npz")
    npz.write(again, [walk, jump])
    assert again.read_bytes() == stored.read_bytes()


def test_layout_is_plain_arrays(stored):
    with np.load(stored, allow_pickle=False) as file:
        assert str(file["format"]) == "puffer_phc.motion"
        assert int(file["schema_version"]) == 1
        assert file["frame_start"].tolist() == [0, 7, 16]
        assert file["root_pos"].shape == (16, 3)
        assert file["root_pos"].dtype == np.float32
        assert file["local_rot"].shape == (16, 24, 4)


def test_other_bodies_than_smpl(tmp_path):
    npz.write(tmp_path / "robot.npz", [random_clip(body_names=("base", "arm"))])
    assert npz.read(tmp_path / "robot.npz")[0].body_names == ("base", "arm")


def test_write_is_atomic(stored, monkeypatch):
    before = stored.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        npz.write(stored, [random_clip("other")])
    assert stored.read_bytes() == before
    assert [path.name for path in stored.parent.iterdir()] == [stored.name]


@pytest.mark.parametrize(
    ("clips", "fault"),
    [
        ([], "no clips"),
        ([random_clip("a"), random_clip("a")], "same name"),
        ([random_clip("a"), random_clip("b", body_names=("x", "y"))], "different bodies"),
    ],
)
def test_write_refuses(tmp_path, clips, fault):
    with pytest.raises(InputError, match=fault):
        npz.write(tmp_path / "x.npz", clips)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"schema_version": np.array(2)}, "schema_version 2, newer than 1"),
        ({"schema_version": np.array(0)}, "schema_version 0 never existed"),
        ({"schema_version": np.array("1")}, "no integer"),
        ({"format": np.array("other")}, "not a puffer_phc.motion file"),
        ({"fps": None, "name": None}, "name, fps are missing"),
        ({"fps": np.array([30.0])}, "fps has shape"),
        ({"fps": np.array([30.0, 0.0])}, "fps of jump is 0"),
        ({"fps": np.array([np.nan, 30.0])}, "fps of walk is nan"),
        ({"name": np.array(["a", "a"])}, "not unique"),
        ({"name": np.array([b"a", b"b"])}, "name is no list of texts"),
        ({"body_names": np.array(["a", "b"])}, "local_rot has shape"),
        ({"frame_start": np.array([0, 9, 7])}, "frame_start"),
        ({"frame_start": np.array([0, 17, 16])}, "frame_start"),
        ({"frame_start": np.array([-3, 7, 16])}, "frame_start"),
        ({"root_pos": np.zeros((15, 3))}, "differ in frames"),
        ({"root_pos": np.array(["x"] * 16)}, "root_pos is no array of numbers"),
        ({"root_pos": np.full((16, 3), np.inf)}, "NaN or infinite values from frame 0"),
        ({"local_rot": np.array([{}], dtype=object)}, "Python objects"),
    ],
)
def test_faults_in_the_arrays(stored, changes, fault):
    rewrite(stored, **changes)
    with pytest.raises(InputError) as error:
        load_motions(stored)
    assert fault in one_line(error)
    assert stored.name in one_line(error)


def test_an_array_cannot_claim_more_than_it_has(stored):
    with zipfile.ZipFile(stored) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = members["root_pos.npy"]
    members["root_pos.npy"] = header.replace(b"(16, 3), ", b"(9999999999999, 3), ", 1)
    with zipfile.ZipFile(stored, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(InputError, match="damaged"):
        load_motions(stored)


def test_a_small_file_cannot_unpack_to_gigabytes(stored):
    rewrite(stored, root_pos=None)
    with zipfile.ZipFile(stored, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("root_pos.npy", "w") as member:
        for _ in range(100):
            member.write(bytes(1 << 20))
    with pytest.raises(InputError, match="far more data"):
        load_motions(stored)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_escape(stored, data):
    good = stored.with_name("good.bin")
    if not good.exists():
        good.write_bytes(stored.read_bytes())
    stored.write_bytes(damage(data, good.read_bytes()))
    for clip in load_or_refuse(load_motions, stored) or []:
        assert torch.isfinite(clip.local_rot).all()
