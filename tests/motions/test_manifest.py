import runpy
import shutil
import sys

import pytest
from clips import one_line, random_clip
from hypothesis import example, given
from hypothesis import strategies as st

from puffer_phc.config import ROOT
from puffer_phc.errors import InputError
from puffer_phc.motions.formats import npz
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.manifest import (
    Entry,
    file_sha256,
    is_manifest,
    load_manifest,
    load_manifest_clips,
    read_manifest,
    write_manifest,
)
from puffer_phc.motions.manifest_making import make_manifest
from puffer_phc.motions.manifest_yaml import quoted, read_document

HEAD = "format: puffer_phc.dataset\nversion: 1\n"


@pytest.fixture
def folder(tmp_path):
    """Three files: a/one.npz (one clip), b/one.npz (another of its name), b/two.npz (two clips)."""
    npz.write(tmp_path / "a" / "one.npz", [random_clip("one", seed=1)])
    npz.write(tmp_path / "b" / "one.npz", [random_clip("one", seed=2)])
    npz.write(tmp_path / "b" / "two.npz", [random_clip("x", seed=3), random_clip("y", seed=4)])
    return tmp_path


def manifest(folder, body, head=HEAD):
    path = folder / "set.yaml"
    path.write_text(head + body)
    return path


def test_everything_a_manifest_can_say(folder):
    sha = file_sha256(folder / "a" / "one.npz")
    path = manifest(
        folder,
        f"""# a comment
files:   # and here

  - path: "a/one.npz"  # quoted
    weight: 2.5
    sha256: {sha.upper()}
    fps: 60
  -   split: 'test'
      path: b/one.npz
  - b/two.npz
""",
        "---\n" + HEAD,
    )
    assert is_manifest(path)
    assert not is_manifest(folder / "a" / "one.npz")
    assert read_manifest(path) == [
        Entry("a/one.npz", "train", 2.5, sha, 60.0, 7),
        Entry("b/one.npz", "test", line=11),
        Entry("b/two.npz", line=13),
    ]
    a, b, c = (folder / name for name in ("a/one.npz", "b/one.npz", "b/two.npz"))
    assert load_manifest(path, "train") == [(a, 2.5), (c, 1.0)]
    assert load_manifest(path, "test") == [(b, 1.0)]
    assert load_manifest(path) == [(a, 2.5), (b, 1.0), (c, 1.0)]
    clips, weights = load_manifest_clips(path, "train")
    assert [(clip.name, clip.fps) for clip in clips] == [("a_one", 60.0), ("x", 30.0), ("y", 30.0)]
    assert weights == [2.5, 1.0, 1.0]
    told, _ = load_manifest_clips(path, options=SourceOptions(override_fps=50.0))
    assert [clip.fps for clip in told] == [60.0, 50.0, 50.0, 50.0]


def test_names_stay_unique(folder):
    shutil.copy(folder / "b" / "two.npz", folder / "a" / "two.npz")
    path = manifest(folder, "files:\n - a/one.npz\n - b/one.npz\n - a/two.npz\n - b/two.npz\n")
    clips, _ = load_manifest_clips(path)
    assert [clip.name for clip in clips] == ["a_one", "b_one", "x", "y", "b_two_x", "b_two_y"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "lists no files"),
        ("files:\n", "lists no files"),
        ("files:\n  - a/none.npz\n", "line 4: there is no file a/none.npz"),
        ("files:\n  - a\n", "line 4: there is no file a"),
        ("files:\n  - path: a/one.npz\n    speed: 3\n", "line 5: the key speed is unknown"),
        ("motions:\n  - a/one.npz\n", "line 3: motions cannot"),
        ("files: a/one.npz\n", "line 3: files cannot"),
        ("extra: 1\nfiles:\n  - a/one.npz\n", "line 3: extra cannot"),
        ("files:\n  - a/one.npz\n  - b/../a/one.npz\n", "line 5: b/../a/one.npz is listed in line 4 too"),
        ("files:\n  - path: a/one.npz\n    path: b/one.npz\n", "line 5: path is given a second time"),
        ("version: 1\nfiles:\n  - a/one.npz\n", "line 3: version is given a second time"),
        ("files:\n  - split: test\n", "line 4: a file without path"),
        ("files:\n  - path: a/one.npz\n    weight: 0\n", "line 5: weight is '0'"),
        ("files:\n  - path: a/one.npz\n    weight: nan\n", "line 5: weight is 'nan'"),
        ("files:\n  - path: a/one.npz\n    weight: much\n", "line 5: weight is 'much'"),
        ("files:\n  - path: a/one.npz\n    fps: 1e6\n", "line 5: fps is 1e+06"),
        ("files:\n  - path: a/one.npz\n    sha256: 12\n", "line 5: sha256 is no checksum"),
        (f"files:\n  - path: a/one.npz\n    sha256: {'0' * 64}\n", "line 4: a/one.npz has another sha256"),
        ("files:\n  - path: a/one.npz\n    split: all\n", "line 5: split is 'all'"),
        ("files:\n  - path: /etc/passwd\n", "line 4: path is '/etc/passwd'"),
        ("files:\n  - path:\n", "line 4: path has no value"),
        ("files:\n  - a/one.npz\n    weight: 2\n", "line 5: unexpected indentation"),
        ("files:\n  - path: a/one.npz\n   weight: 2\n", "line 5: unexpected indentation"),
        ("files:\n\t- a/one.npz\n", "line 4 is indented with a tab"),
        ("files: [a/one.npz]\n", "line 3: [a/one.npz] is more of YAML"),
        ("files:\n  - {path: a/one.npz}\n", "line 4: {path: a/one.npz} is more of YAML"),
        ("files:\n  - path: &x a/one.npz\n", "line 4: &x a/one.npz is more of YAML"),
        ("files:\n  - path: |\n      a\n", "line 4: | is more of YAML"),
        ('files:\n  - path: "a/one.npz\n', "line 4: a quoted value does not end"),
        ("files:\n  - path: 'a/one.npz\n", "line 4: a quoted value does not end"),
        ('files:\n  - path: "a/one.npz" x\n', "line 4: something follows"),
        ("files:\n  - path: a: b\n", "line 4: a colon in a value"),
        ("files:\n  - - a\n", "line 4"),
        ("- a\n", "line 3: a list item where none can be"),
        ("nonsense\n", "line 3 is not of the form"),
    ],
)
def test_faults_are_told_with_their_line(folder, body, told):
    path = manifest(folder, body)
    with pytest.raises(InputError) as error:
        load_manifest(path)
    assert told in str(error.value)
    assert str(path) in str(error.value)
    one_line(error)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("version: 1\n", "no data-set manifest"),
        ("format: other\nversion: 1\n", "line 1: it is no data-set manifest"),
        ("format: puffer_phc.dataset\n", "version is ''"),
        ("format: puffer_phc.dataset\nversion: 2\n", "line 2: version is '2'"),
    ],
)
def test_other_yaml_is_refused(folder, head, told):
    with pytest.raises(InputError, match=told):
        load_manifest(manifest(folder, "files:\n  - a/one.npz\n", head))


def test_missing_manifest_and_split(folder):
    with pytest.raises(InputError, match="cannot be read"):
        load_manifest(folder / "none.yaml")
    (folder / "latin.yaml").write_bytes(b"format: \xff\n")
    with pytest.raises(InputError, match="UTF-8"):
        load_manifest(folder / "latin.yaml")
    with pytest.raises(InputError, match="no split 'test'; choose one of train"):
        load_manifest(manifest(folder, "files:\n  - a/one.npz\n"), "test")


def test_a_changed_file_is_noticed_unless_told_not_to(folder):
    path, _, _ = make_manifest(folder)
    npz.write(folder / "a" / "one.npz", [random_clip("one", seed=9)])
    with pytest.raises(InputError, match="another sha256"):
        load_manifest(path)
    assert len(load_manifest(path, verify=False)) == 3


def test_the_same_content_in_two_splits_is_a_leak(folder):
    shutil.copy(folder / "a" / "one.npz", folder / "copy.npz")
    entries = [Entry("a/one.npz", "train", sha256="a" * 64), Entry("copy.npz", "test", sha256="a" * 64)]
    with pytest.raises(InputError, match=r"same file as a/one\.npz of split train"):
        write_manifest(folder / "set.yaml", entries)
    assert not (folder / "set.yaml").exists()


def test_making_one_of_a_folder(folder):
    (folder / "notes.txt").write_text("no motion")
    (folder / "b" / "empty.npz").touch()
    (folder / "motion.yaml").write_text("up: y\n")
    seen = []
    path, entries, ignored = make_manifest(folder, progress=lambda *done: seen.append(done))
    assert path == folder / "dataset.yaml"
    assert [entry.path for entry in entries] == ["a/one.npz", "b/one.npz", "b/two.npz"]
    assert ignored == ["b/empty.npz", "notes.txt"]
    assert seen[-1] == (5, 5)
    assert [file for file, _ in load_manifest(path)] == [folder / entry.path for entry in entries]
    assert make_manifest(folder)[0].read_bytes() == path.read_bytes()  # itself is passed over
    elsewhere, _, _ = make_manifest(folder, folder / "a" / "deep" / "set.yml")
    assert len(load_manifest(elsewhere)) == 3
    assert len(load_motions(folder)) == 4  # a manifest in a folder of motions disturbs nobody


def test_splits_are_stable(tmp_path):
    for number in range(40):
        npz.write(tmp_path / f"{number % 8}" / f"{number}.npz", [random_clip(str(number), seed=number)])
    _, entries, _ = make_manifest(tmp_path, test_share=0.3)
    assert 4 <= sum(entry.split == "test" for entry in entries) <= 20
    before = {entry.path: entry.split for entry in entries}
    npz.write(tmp_path / "0" / "more.npz", [random_clip("more", seed=99)])
    after = {entry.path: entry.split for entry in make_manifest(tmp_path, test_share=0.3)[1]}
    assert before.items() <= after.items()
    _, entries, _ = make_manifest(tmp_path, test_share=0.5, split_by="folder")
    assert len({(entry.path.partition("/")[0], entry.split) for entry in entries}) == 8
    assert {entry.split for entry in entries} == {"train", "test"}


def test_impossible_names_and_folders(folder):
    shutil.copy(folder / "a" / "one.npz", folder / "set.npz")
    for out in ("set.yaml", "motion.yaml", "set.txt", "set.npz.yaml"):
        with pytest.raises(InputError) as error:
            make_manifest(folder, folder / out)
        one_line(error)
    (folder / "nothing").mkdir()
    for call in (
        lambda: make_manifest(folder / "none"),
        lambda: make_manifest(folder / "nothing"),
        lambda: make_manifest(folder, test_share=1.0),
        lambda: write_manifest(folder / "e.yaml", []),
        lambda: write_manifest(folder / "a" / "one.npz" / "e.yaml", [Entry("a")]),
    ):
        with pytest.raises(InputError) as error:
            call()
        one_line(error)


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@given(NAMES)
@example("a\u2028b\x85c\x7f\ufeff")
def test_any_name_survives(tmp_path_factory, name):
    yaml = pytest.importorskip("yaml")
    path = tmp_path_factory.mktemp("m") / "x.yaml"
    path.write_text(f"format: {quoted(name)}\n", encoding="utf-8")
    assert read_document(path).values["format"].text == name
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["format"] == name


def test_other_readers_of_yaml_agree(folder):
    yaml = pytest.importorskip("yaml")
    entries = [Entry("a b/ü#1.npz", "test", 0.5, "ab" * 32, 59.94), Entry("- x: y.npz")]
    write_manifest(folder / "set.yaml", entries)
    content = yaml.safe_load((folder / "set.yaml").read_text(encoding="utf-8"))
    assert content["files"] == [
        {"path": "a b/ü#1.npz", "split": "test", "weight": 0.5, "sha256": "ab" * 32, "fps": 59.94},
        {"path": "- x: y.npz", "split": "train"},
    ]
    ours = read_manifest(folder / "set.yaml")
    assert [(e.path, e.split, e.weight, e.sha256, e.fps) for e in ours] == [
        (e.path, e.split, e.weight, e.sha256, e.fps) for e in entries
    ]


@given(st.text(max_size=200))
def test_arbitrary_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("m") / "x.yaml"
    path.write_bytes((HEAD + text).encode(errors="replace"))
    try:
        read_manifest(path)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_script(monkeypatch, capsys, folder):
    script = ROOT / "scripts" / "make_manifest.py"

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(script), run_name="__main__")
        return end.value.code

    assert run(folder) == 0
    assert "3 motions (3 train)" in capsys.readouterr().out
    assert run(folder / "dataset.yaml", "--check") == 0
    assert "3 files, all unchanged" in capsys.readouterr().out
    (folder / "a" / "one.npz").unlink()
    assert run(folder / "dataset.yaml", "--check") == 2
    assert capsys.readouterr().err.count("\n") == 1
