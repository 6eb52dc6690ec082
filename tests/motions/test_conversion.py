"""Folders of motion files to our format."""

import hashlib
import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from puffer_phc.errors import InputError
from puffer_phc.motions.conversion import convert
from puffer_phc.motions.conversion_files import ConversionOptions
from puffer_phc.motions.formats import SourceOptions, amass
from puffer_phc.motions.loading import load_motions
from tests.motions.clips import one_line, random_clip
from tests.motions.moving import few_steps, shifted, walk

ROOT = Path(__file__).resolve().parents[2]


def quiet():
    return Console(file=io.StringIO(), width=120)


def run(source, out, console=None, **options):
    return convert(ConversionOptions(source, out, workers=1, **options), console or quiet())


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.npz"))}


@pytest.fixture
def folder(tmp_path):
    """A good motion, a sunk one in a subfolder, damaged ones and files that are none."""
    source = tmp_path / "in"
    (source / "more").mkdir(parents=True)
    amass.write(source / "walk.npz", few_steps())
    amass.write(source / "more" / "sunk.npz", shifted(few_steps(), z=-0.05))
    amass.write(source / "short.npz", random_clip(num_frames=5, fps=120.0))
    (source / "bad.bvh").write_text("HIERARCHY\nROOT Hips\n{\n")
    (source / "empty.amc").write_text("")
    (source / "README.md").write_text("about these motions")
    return source


def test_a_folder(folder, tmp_path):
    console = quiet()
    rows = run(folder, tmp_path / "out", console)
    assert [(row.name, bool(row.dropped)) for row in rows] == [
        ("bad", True), ("empty", True), ("more_sunk", False), ("short", True), ("walk", False)
    ]  # fmt: skip
    assert [clip.name for clip in load_motions(tmp_path / "out")] == ["more_sunk", "walk"]
    text = console.file.getvalue()
    assert "dropped bad: " in text
    assert "README.md" in text
    assert "2 clips" in text
    report = json.loads((tmp_path / "out_report" / "report.json").read_text())
    assert {row["name"]: bool(row["dropped"]) for row in report}["short"]
    assert "more_sunk" in (tmp_path / "out_report" / "report.html").read_text()


def test_the_same_bytes_again_and_no_work_twice(folder, tmp_path):
    (folder / "bad.bvh").unlink()
    run(folder, tmp_path / "a")
    run(folder, tmp_path / "b")
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert len(hashes(tmp_path / "a")) == 2
    pages = [(tmp_path / f"{name}_report" / "report.html").read_text() for name in "ab"]
    assert pages[0] == pages[1]

    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.npz")}
    console = quiet()
    (tmp_path / "a" / "walk.npz").unlink()
    first = run(folder, tmp_path / "a", console)
    assert "converted before" in console.file.getvalue()
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    kept = tmp_path / "a" / "more" / "sunk.npz"
    assert kept.stat().st_mtime_ns == stamps[kept]
    assert [row.name for row in first] == ["empty", "more_sunk", "short", "walk"]
    # Another frame rate is another result.
    run(folder, tmp_path / "a", target_fps=15.0)
    assert {clip.fps for clip in load_motions(tmp_path / "a")} == {15.0}


def test_processes_change_nothing(folder, tmp_path):
    for name in ("bad.bvh", "empty.amc", "short.npz"):
        (folder / name).unlink()
    run(folder, tmp_path / "a")
    convert(ConversionOptions(folder, tmp_path / "b", workers=2), quiet())
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_one_file(folder, tmp_path):
    run(folder / "walk.npz", tmp_path / "x" / "mine.npz")
    (clip,) = load_motions(tmp_path / "x" / "mine.npz")
    assert clip.name == "walk"
    assert (tmp_path / "x" / "mine_report" / "report.html").is_file()


def test_the_rate_of_files_without_one(tmp_path, shared_data):
    """--fps is for the recording that has none; the other keeps its own, and the report says so."""
    source = tmp_path / "in"
    source.mkdir()
    amass.write(source / "steps.npz", few_steps())
    for name in ("02_01.amc", "02.asf"):
        shutil.copy(shared_data / "formats" / "single" / name, source / name)
    console = quiet()
    rows = {row.name: row for row in run(source, tmp_path / "out", console, told=SourceOptions(fps=120), clean=False)}
    assert rows["02_01"].after.duration == pytest.approx(343 / 120, abs=1 / 30)
    assert rows["steps"].after.duration == pytest.approx(few_steps().duration, abs=1 / 30)
    assert rows["02_01"].remarks == ()
    (remark,) = rows["steps"].remarks
    assert remark == "own frame rate of 30 kept, not --fps 120; --override-fps would force it"
    assert f"1 clip: {remark}" in console.file.getvalue().replace("\n", " ")
    assert remark in (tmp_path / "out_report" / "report.html").read_text()
    assert json.loads((tmp_path / "out_report" / "report.json").read_text())[1]["remarks"] == [remark]

    forced = run(source, tmp_path / "out", told=SourceOptions(override_fps=60), clean=False)
    assert [row.after.duration for row in forced] == pytest.approx([343 / 60, few_steps().duration / 2], abs=1 / 30)
    assert [row.remarks for row in forced] == [(), ()]
    with pytest.raises(InputError, match="the file has no frame rate; give --fps"):
        run(source / "02_01.amc", tmp_path / "none")


def test_files_of_the_same_stem_keep_apart(tmp_path, shared_data):
    source = tmp_path / "in"
    source.mkdir()
    amass.write(source / "02_01.npz", few_steps())
    for name in ("02_01.amc", "02.asf"):
        shutil.copy(shared_data / "formats" / "single" / name, source / name)
    (source / "index.csv").write_text("file,fps\n02_01.amc,120\n")
    run(source, tmp_path / "out")
    assert [clip.name for clip in load_motions(tmp_path / "out")] == ["02_01.amc", "02_01.npz"]


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda p: dict(source=p / "none"), "no such file or folder"),
        (lambda p: dict(source=p / "in" / "bad.bvh"), "bad.bvh"),
        (lambda p: dict(source=p / "in", out=p / "in"), "source folder itself"),
        (lambda p: dict(source=p / "in", out=p / "x.npz"), "is a file name"),
        (lambda p: dict(source=p / "in", robot="nao"), "no robot"),
        (lambda p: dict(source=p / "in", target_fps=0.0), "--target-fps"),
        (lambda p: dict(source=p / "in", joint_map=p / "none.yaml"), "none.yaml"),
    ],
)
def test_faults(folder, tmp_path, make, fault):
    options = {"out": tmp_path / "out", "workers": 1, **make(tmp_path)}
    with pytest.raises(InputError) as error:
        convert(ConversionOptions(**options), quiet())
    assert fault in one_line(error)
    assert not (tmp_path / "out").exists()


def test_rejected_clips_are_dropped_unless_they_are_wanted(tmp_path):
    from tests.motions.test_quality import hopping

    source = tmp_path / "in"
    hanging = hopping(walk().root_pos.new_full((45,), 0.6))
    amass.write(source / "hanging.npz", hanging)
    with pytest.raises(InputError, match="--keep-rejected"):
        run(source / "hanging.npz", tmp_path / "out")
    (row,) = run(source / "hanging.npz", tmp_path / "out", keep_rejected=True)
    assert row.after.verdict == "reject"
    assert load_motions(tmp_path / "out" / "hanging.npz")
