"""Damaged files of every format: InputError in one line or a clip of finite numbers, and nothing else.

60 cases a format by default; ``PUFFER_FUZZ_CASES=10000 nice -n 19 pytest -o timeout=0 --basetemp=/dev/shm/fuzz`` runs
as many each (a memory disk halves the time).
"""

import os

import pytest
import torch
from clips import damage, load_or_refuse
from format_files import make_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from puffer_phc.motions.loading import load_motions

CASES = int(os.environ.get("PUFFER_FUZZ_CASES", "60"))
FORMATS = (
    "amc",
    "asf",
    "bvh",
    "deepmimic",
    "mimickit",
    "poselib",
    "expmap",
    "g1_csv",
    "g1_npz",
    "robot_pickle",
    "proto",
)
TEXTS = ("amc", "asf", "bvh", "deepmimic", "expmap", "g1_csv")
FUZZ = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None)

WORDS = st.sampled_from(
    ["", "0", "-1", "nan", "inf", "1e999", "1e308", "9" * 25, "1000000000000", "{", "}", "[" * 9, "]", ",", ":", "-",
     "begin", "end", "root", "JOINT x", "End Site", "OFFSET", "CHANNELS 6", "dof", "\x00", "\ufeff", "ä", '"', "1_0"]
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("intact"))


def check(path):
    for clip in load_or_refuse(load_motions, path) or []:
        assert torch.isfinite(clip.root_pos).all()
        assert torch.isfinite(clip.local_rot).all()
        assert clip.num_frames * len(clip.body_names) < 1e6


def placed(files, name, tmp_path):
    """Where the damaged file goes, and the file to load: beside an .amc lies the .asf that is damaged instead."""
    for companion in ("motion.yaml", "walk.asf", "walk.amc"):
        source = files["amc"].with_name(companion)
        if not (tmp_path / companion).exists():
            (tmp_path / companion).write_bytes(source.read_bytes())
    if name == "asf":
        return files["amc"].with_suffix(".asf"), tmp_path / "walk.asf", tmp_path / "walk.amc"
    target = tmp_path / files[name].name
    return files[name], target, target


@pytest.mark.parametrize("name", FORMATS)
def test_intact_files_load(files, tmp_path, name):
    source, target, loaded = placed(files, name, tmp_path)
    target.write_bytes(source.read_bytes())
    assert load_motions(loaded)


@pytest.mark.parametrize("name", FORMATS)
@FUZZ
@given(data=st.data())
def test_damaged_bytes_never_escape(files, tmp_path, name, data):
    source, target, loaded = placed(files, name, tmp_path)
    target.write_bytes(damage(data, source.read_bytes()))
    check(loaded)


@pytest.mark.parametrize("name", TEXTS)
@FUZZ
@given(data=st.data())
def test_damaged_words_never_escape(files, tmp_path, name, data):
    source, target, loaded = placed(files, name, tmp_path)
    separator = {"deepmimic": ", ", "expmap": ",", "g1_csv": ","}.get(name, " ")
    words = source.read_text().split(separator)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(words) - 1))
        kind = data.draw(st.sampled_from(["replace", "insert", "delete", "repeat", "move"]))
        if kind == "replace":
            words[at] = data.draw(WORDS)
        elif kind == "insert":
            words.insert(at, data.draw(WORDS))
        elif kind == "delete" and len(words) > 1:
            del words[at]
        elif kind == "repeat":
            words[at:at] = words[at : at + data.draw(st.integers(1, 40))] * data.draw(st.integers(1, 3))
        elif kind == "move":
            words.insert(data.draw(st.integers(0, len(words) - 1)), words[at])
    target.write_bytes(separator.join(words).encode("utf-8", "surrogatepass"))
    check(loaded)


@FUZZ
@given(text=st.text(max_size=200))
def test_sidecars_of_any_content(files, tmp_path, text):
    placed(files, "bvh", tmp_path)
    (tmp_path / "walk.bvh").write_bytes(files["bvh"].read_bytes())
    (tmp_path / "motion.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / "index.csv").write_bytes(b"file,fps,up,unit\n" + text.encode("utf-8", "surrogatepass"))
    check(tmp_path / "walk.bvh")
