import csv
import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from puffer_phc.errors import InputError
from puffer_phc.evaluation.metrics import METRICS, POSITION_METRICS, ClipResult, summarize
from puffer_phc.evaluation.report import summary_table, write_summary


def clip(name, error, success, frames=4):
    metrics = {key: np.full(max(frames - max(i - 2, 0), 0), float(error)) for i, key in enumerate(POSITION_METRICS)}
    return ClipResult(name, frames=10, played_steps=frames, success=success, metrics=metrics)


@pytest.fixture
def results():
    return [clip("walk", 20, True), clip("0-CMU_[red]flip", 300, False), clip("one frame", 25, True, frames=1)]


def test_files_hold_what_was_measured(tmp_path, results):
    extra = {"checkpoint": Path("a/b.pt"), "nan": float("nan"), "seed": np.int64(3), "loss": np.array([1.5, np.inf])}
    json_path, tsv_path = write_summary(tmp_path, summarize(results), results, extra)

    document = json.loads(json_path.read_text(), parse_constant=pytest.fail)
    assert document["success_rate"] == pytest.approx(2 / 3)
    assert document["no_success"] is False
    assert document["extra"] == {"checkpoint": "a/b.pt", "nan": None, "seed": 3, "loss": [1.5, None]}

    rows = list(csv.DictReader(tsv_path.open(), delimiter="\t"))
    columns = [metric.name for metric in METRICS]
    assert list(rows[0]) == ["motion", "frames", "played_steps", "success", *columns, "category"]
    assert [row["motion"] for row in rows] == ["walk", "0-CMU_[red]flip", "one frame"]
    assert [row["success"] for row in rows] == ["1", "0", "1"]
    assert (rows[0]["mpjpe_g"], rows[0]["frames"], rows[0]["played_steps"]) == ("20.000", "10", "4")
    assert rows[2]["accel_dist"] == ""  # one frame has no acceleration

    assert (tmp_path / "failed.txt").read_text() == "0-CMU_[red]flip\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failed.txt", "motions.tsv", "summary.json"]


def test_a_second_report_replaces_the_first(tmp_path, results):
    write_summary(tmp_path, summarize(results), results, {})
    write_summary(tmp_path, summarize(results[:1]), results[:1], {})
    assert (tmp_path / "failed.txt").read_text() == ""
    assert len((tmp_path / "motions.tsv").read_text().splitlines()) == 2


def test_a_name_with_tabs_and_line_breaks_stays_in_its_row(tmp_path):
    torn = [clip("a\tb\nc", 1, False)]
    _, tsv_path = write_summary(tmp_path, summarize(torn), torn, {})
    assert next(csv.DictReader(tsv_path.open(), delimiter="\t"))["motion"] == "a b c"
    assert (tmp_path / "failed.txt").read_text() == "a b c\n"


def test_a_missing_folder_is_told(tmp_path, results):
    with pytest.raises(InputError, match="is not a folder"):
        write_summary(tmp_path / "missing", summarize(results), results, {})


def test_a_full_disk_leaves_the_old_report(tmp_path, results, monkeypatch):
    write_summary(tmp_path, summarize(results), results, {})
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_summary(tmp_path, summarize(results[:1]), results[:1], {})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def rendered(table):
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_table_shows_the_hardest_clips_first(results):
    text = rendered(summary_table(summarize(results), results, limit=2))
    assert "success 66.7 % (2 of 3 clips)" in text
    assert "0-CMU_[red]flip" in text  # brackets are not markup
    assert text.index("flip") < text.index("one frame")
    assert "walk" not in text


def test_table_says_when_nothing_succeeded():
    failed = [clip("fall", 500, False)]
    assert "successful: none" in rendered(summary_table(summarize(failed), failed))
