import logging
import os
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from clips import one_line, random_clip

from puffer_phc.errors import InputError
from puffer_phc.motions.checks import check_clip
from puffer_phc.motions.formats import READERS, amass, npz, phc_pickle
from puffer_phc.motions.loading import check_bodies, load_motions
from puffer_phc.robots.smpl_table import BODY_NAMES


def names_in(path):
    return [clip.name for clip in load_motions(path)]


def test_formats_are_told_by_content_not_by_extension(tmp_path):
    npz.write(tmp_path / "own.npz", [random_clip("own")])
    amass.write(tmp_path / "amass.npz", random_clip())
    phc_pickle.write(tmp_path / "phc.pkl", [random_clip("phc")])
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_suffix(".bin"))
    assert names_in(tmp_path / "own.bin") == ["own"]
    assert names_in(tmp_path / "amass.bin") == ["amass"]
    assert names_in(tmp_path / "phc.bin") == ["phc"]


def test_every_format_offers_sniff_and_read():
    assert all(callable(reader.sniff) and callable(reader.read) for reader in READERS)


def test_folder_names_come_from_the_path(tmp_path):
    for place in ("b/walk.npz", "a/walk.npz", "a/deep/run.npz", "top.npz"):
        amass.write(tmp_path / place, random_clip())
    assert names_in(tmp_path) == ["a_deep_run", "a_walk", "b_walk", "top"]
    assert names_in(str(tmp_path / "a")) == ["deep_run", "walk"]
    assert names_in(tmp_path / "*" / "walk.npz") == ["a_walk", "b_walk"]
    assert names_in(tmp_path / "**" / "*.npz") == ["a_deep_run", "a_walk", "b_walk", "top"]
    assert names_in(tmp_path / "a" / "walk.npz") == ["walk"]


def test_stored_names_stay_and_collisions_get_the_place(tmp_path):
    npz.write(tmp_path / "one.npz", [random_clip("walk"), random_clip("run")])
    npz.write(tmp_path / "two.npz", [random_clip("walk"), random_clip("jump")])
    assert names_in(tmp_path) == ["one_walk", "run", "two_walk", "jump"]


def test_names_are_unique_whatever_happens(tmp_path):
    amass.write(tmp_path / "a" / "b.npz", random_clip())
    amass.write(tmp_path / "a_b.npz", random_clip())
    npz.write(tmp_path / "c.npz", [random_clip("a_b")])
    names = names_in(tmp_path)
    assert len(set(names)) == 3


def test_files_that_are_no_motions_are_named_once(tmp_path, caplog):
    amass.write(tmp_path / "walk.npz", random_clip())
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / ".hidden").write_text("x")
    np.savez(tmp_path / "shape.npz", betas=np.zeros(16), gender="neutral")
    (tmp_path / "stats.pkl").write_bytes(pickle.dumps({"mean": 1.0}))
    with caplog.at_level(logging.WARNING, "puffer_phc"):
        assert names_in(tmp_path) == ["walk"]
    (message,) = [entry.getMessage() for entry in caplog.records]
    for name in ("readme.txt", "empty", "shape.npz", "stats.pkl"):
        assert name in message
    assert "hidden" not in message


def test_links_are_followed_but_never_in_circles(tmp_path):
    amass.write(tmp_path / "real" / "walk.npz", random_clip())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "dead.npz").symlink_to(tmp_path / "nothing")
    assert names_in(tmp_path / "data") == ["link_walk"]


def test_short_clips_in_company_are_dropped_with_a_warning(tmp_path, caplog):
    npz.write(tmp_path / "x.npz", [random_clip("long", 5), random_clip("short", 4), random_clip("none", 0)])
    with caplog.at_level(logging.WARNING, "puffer_phc"):
        assert names_in(tmp_path / "x.npz") == ["long"]
    (message,) = [entry.getMessage() for entry in caplog.records]
    assert "dropped 2 of 3 clips" in message
    assert "short, none" in message


def test_quaternions_come_normalised(tmp_path):
    clip = random_clip()
    npz.write(tmp_path / "x.npz", [replace(clip, local_rot=clip.local_rot * 1.0004)])
    norm = load_motions(tmp_path / "x.npz")[0].local_rot.norm(dim=-1)
    assert torch.allclose(norm, torch.ones_like(norm), atol=1e-15)


def prepared(folder, kind):
    path = folder / "bad.npz"
    if kind == "empty file":
        path.touch()
    elif kind == "cut npz":
        npz.write(path, [random_clip()])
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "unknown npz":
        np.savez(path, weights=np.zeros(3))
    elif kind == "text":
        path.write_text("hello")
    elif kind == "cut gzip":
        path.write_bytes(b"\x1f\x8b\x08\x00\x00")
    elif kind == "short":
        npz.write(path, [random_clip(num_frames=4)])
    elif kind == "not unit":
        npz.write(path, [replace(random_clip(), local_rot=torch.ones(7, 24, 4, dtype=torch.float64))])
    elif kind == "double body":
        npz.write(path, [random_clip(body_names=("a", "a"))])
    elif kind == "folder of nothing":
        path.mkdir()
        (path / "note.txt").write_text("x")
    elif kind == "pattern":
        path = folder / "*.npz"
    elif kind == "pipe":
        os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("missing", "no such file"),
        ("empty file", "the file is empty"),
        ("cut npz", "damaged or cut-short"),
        ("unknown npz", "(weights) are those of no known motion format"),
        ("text", "no known motion format"),
        ("cut gzip", "gzip"),
        ("short", "too short (4 frames)"),
        ("not unit", "no unit quaternions from frame 0"),
        ("double body", "not unique"),
        ("folder of nothing", "no motion in it"),
        ("pattern", "no file matches"),
        ("pipe", "no such file"),
    ],
)
def test_faults(tmp_path, kind, fault):
    path = prepared(tmp_path, kind)
    with pytest.raises(InputError) as error:
        load_motions(path)
    assert fault in one_line(error)
    assert str(path) in one_line(error)


def test_a_damaged_motion_in_a_folder_is_not_passed_over(tmp_path):
    amass.write(tmp_path / "good.npz", random_clip())
    np.savez(tmp_path / "bad.npz", poses=np.zeros((6, 72)), trans=np.zeros((6, 3)))
    with pytest.raises(InputError, match=r"bad\.npz.*mocap_framerate"):
        load_motions(tmp_path)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"fps": 0.0}, "frame rate is 0"),
        ({"fps": float("nan")}, "frame rate is nan"),
        ({"body_names": ()}, "body names"),
        ({"root_pos": torch.zeros(6, 3)}, "shape"),
        ({"root_pos": torch.full((7, 3), torch.inf)}, "infinite values from frame 0"),
    ],
)
def test_check_clip(changes, fault):
    check_clip(random_clip())
    with pytest.raises(InputError, match=fault):
        check_clip(replace(random_clip(), **changes))


def test_check_bodies():
    clip = random_clip()
    check_bodies(clip, BODY_NAMES)
    check_bodies(clip, list(BODY_NAMES))
    swapped = ("Pelvis", *BODY_NAMES[2:3], *BODY_NAMES[1:2], *BODY_NAMES[3:])
    for bodies, fault in (
        (BODY_NAMES[:-1], "24 bodies where the robot has 23; unknown R_Hand"),
        ((*BODY_NAMES, "Tail"), "24 bodies where the robot has 25; missing Tail"),
        ((*BODY_NAMES[:-1], "Claw"), "missing Claw; unknown R_Hand"),
        (swapped, "body 1 is L_Hip where the robot has L_Knee"),
    ):
        with pytest.raises(InputError) as error:
            check_bodies(clip, bodies)
        assert fault in one_line(error)


@pytest.fixture(scope="session")
def training_clips(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("smpl_train")
    with tarfile.open(shared_data / "smpl_train.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_all_real_training_clips_load(training_clips, tmp_path):
    clips = load_motions(training_clips)
    assert len(clips) == 273
    assert len({clip.name for clip in clips}) == 273
    for clip in clips:
        check_bodies(clip, BODY_NAMES)
    assert 30 * 60 < sum(clip.duration for clip in clips) < 40 * 60
    # Through our own format and back: the same motions to float32.
    npz.write(tmp_path / "all.npz", clips[:40])
    for clip, back in zip(clips, load_motions(tmp_path / "all.npz"), strict=False):
        assert back.name == clip.name
        assert torch.allclose(back.root_pos, clip.root_pos, atol=1e-5)
        assert torch.allclose(back.local_rot, clip.local_rot, atol=1e-6)
