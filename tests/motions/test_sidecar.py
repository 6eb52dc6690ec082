"""What is told about a file: by the caller, by sidecars, and which wins."""

import pytest
from clips import one_line, random_clip
from format_files import AMC, ASF, BVH

from puffer_phc.errors import InputError
from puffer_phc.motions.formats import SourceOptions, amass, npz, read_file
from puffer_phc.motions.formats.options import options_from_texts
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.loading import load_motions


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "walk.bvh").write_text(BVH)
    return tmp_path


def told(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return complete(folder / "walk.bvh", None)


def test_every_kind_of_sidecar(folder):
    assert told(folder) == SourceOptions()
    assert told(folder, motion__yaml="# all of them\n---\nunit: cm\nup: 'y'  # like Maya\n\n") == SourceOptions(
        unit=0.01, up="y"
    )
    assert told(folder, walk__bvh__yaml="fps: 60") == SourceOptions(unit=0.01, up="y", override_fps=60)
    index = "file,fps,skip_first,other\nwalk.bvh,25,3,\nrun.bvh,1,1,x\n"
    assert told(folder, index__csv=index) == SourceOptions(unit=0.01, up="y", override_fps=60, skip_first=3)


def test_the_nearer_word_wins(folder):
    told(folder, index__csv="file,fps\nwalk.bvh,25\n", motion__yaml="fps: 30\nunit: m\nup: z")
    assert complete(folder / "walk.bvh", None).override_fps == 30
    (folder / "walk.yaml").write_text("fps: 40")
    assert complete(folder / "walk.bvh", SourceOptions(unit=0.5)) == SourceOptions(override_fps=40, unit=0.5, up="z")
    (clip,) = read_file(folder / "walk.bvh")
    assert (clip.fps, clip.num_frames) == (40.0, 6)


@pytest.mark.parametrize(
    ("told_of_all", "beside_it", "fps"),
    [
        ({}, "", 30.0),
        ({"fps": 50}, "", 30.0),
        ({"override_fps": 50}, "", 50.0),
        ({"fps": 60, "override_fps": 50}, "", 50.0),
        ({"fps": 50}, "fps: 40", 40.0),
        ({"override_fps": 50}, "fps: 40", 50.0),
    ],
)
def test_a_rate_told_of_all_files_is_for_those_without(folder, told_of_all, beside_it, fps):
    """The file says 30 frames per second."""
    (folder / "walk.yaml").write_text("unit: 1\nup: y\n" + beside_it)
    assert read_file(folder / "walk.bvh", SourceOptions(**told_of_all))[0].fps == fps


def test_an_index_that_is_about_something_else(folder):
    assert told(folder, index__csv="name;value\nwalk.bvh;3\n") == SourceOptions()
    assert told(folder, index__csv="file,fps\nother.bvh,3\n") == SourceOptions()


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("motion__yaml", "fps 60", "line 1 is not of the form key: value"),
        ("motion__yaml", "- fps: 60", "line 1 is not of the form"),
        ("motion__yaml", "fps: fast", "fps is 'fast', which is no number"),
        ("motion__yaml", "fps: -1", "fps is -1.0"),
        ("motion__yaml", "fps: nan", "fps is nan"),
        ("motion__yaml", "unit: 0", "unit is 0.0"),
        ("motion__yaml", "up: x", "up is 'x'"),
        ("motion__yaml", "forward: up", "forward is 'up'"),
        ("motion__yaml", "up: z\nforward: -z", "forward is '-z'"),
        ("motion__yaml", "skip_first: 1.5", "skip_first is '1.5'"),
        ("motion__yaml", "skip_first: -1", "skip_first is -1"),
        ("motion__yaml", "skeleton_file: ../../etc/passwd", "name a file in the same folder"),
        ("index__csv", "file,fps\nwalk.bvh,often\n", "fps is 'often'"),
        ("index__csv", "file,fps\nwalk.bvh," + "9" * 200_000 + "\n", "damaged table"),
    ],
)
def test_faults_name_the_sidecar(folder, name, text, fault):
    with pytest.raises(InputError) as error:
        told(folder, **{name: text})
    assert fault in one_line(error)
    assert name.replace("__", ".") in one_line(error)


def test_a_sidecar_as_large_as_a_motion_is_refused(folder):
    (folder / "motion.yaml").write_text("#" * (17 << 20))
    with pytest.raises(InputError, match="larger than 16 MiB"):
        read_file(folder / "walk.bvh")


@pytest.mark.parametrize(
    "values",
    [
        {"fps": 0},
        {"fps": float("inf")},
        {"override_fps": -1},
        {"unit": -1},
        {"up": "Y"},
        {"forward": "w"},
        {"skip_first": -1},
    ],
)
def test_impossible_options_name_themselves(values):
    with pytest.raises(InputError, match=f"^--{next(iter(values)).replace('_', '-')}: is"):
        SourceOptions(**values)


def test_units_by_name():
    found = [options_from_texts("x", {"unit": unit}).unit for unit in ("m", "cm", "inch", "0.3")]
    assert found == [
        1,
        0.01,
        0.0254,
        0.3,
    ]


def test_the_skeleton_can_be_named_in_a_sidecar(tmp_path):
    (tmp_path / "a.asf").write_text(ASF)
    (tmp_path / "b.asf").write_text(ASF.replace("length 2", "length 4"))
    (tmp_path / "walk.amc").write_text(AMC)
    (tmp_path / "index.csv").write_text("file,skeleton_file,fps,up\nwalk.amc,b.asf,120,y\n")
    (clip,) = read_file(tmp_path / "walk.amc")
    assert float(clip.skeleton.offsets[2, 1]) == pytest.approx(4 * 0.0254 / 0.45)


def test_companions_are_passed_over_in_silence(folder, caplog):
    (folder / "walk.amc").write_text(AMC)
    (folder / "walk.asf").write_text(ASF)
    (folder / "motion.yaml").write_text("up: y\nunit: cm\nfps: 30\n")
    (folder / "index.csv").write_text("file\n")
    assert [clip.name for clip in load_motions(folder)] == ["walk", "walk_2"]
    assert not caplog.records


def test_self_describing_formats_take_what_is_told_as_well(tmp_path):
    amass.write(tmp_path / "a.npz", random_clip(num_frames=9))
    npz.write(tmp_path / "b.npz", [random_clip("x", 9), random_clip("y", 8)])
    clips = load_motions(tmp_path, SourceOptions(override_fps=12, skip_first=2))
    assert [(clip.fps, clip.num_frames) for clip in clips] == [(12.0, 7), (12.0, 7), (12.0, 6)]
    with pytest.raises(InputError, match="9 frames, of which the first 9 are to be left out"):
        read_file(tmp_path / "a.npz", SourceOptions(skip_first=9))


def test_our_own_format_refuses_foreign_skeletons(folder):
    clips = read_file(folder / "walk.bvh", SourceOptions(unit=1, up="y"))
    with pytest.raises(InputError, match="retarget it"):
        npz.write(folder / "x.npz", clips)
