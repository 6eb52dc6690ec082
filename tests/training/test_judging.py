"""Evaluations during training: which policy is the best, and what is kept of it."""

import json

import numpy as np

from puffer_phc.evaluation.metrics import ClipResult, summarize
from puffer_phc.evaluation.style_evaluator import EpisodeResult, summarize_episodes
from puffer_phc.training.judging import confirmed, score_of, write_findings


def clip(name, success):
    """A clip of three steps, 10 mm off all the time."""
    names = ("mpjpe_g", "mpjpe_l", "mpjpe_pa", "vel_dist", "accel_dist")
    return ClipResult(name, 3, 3 if success else 1, success, {metric: np.full(3, 10.0) for metric in names})


CLIPS = [clip("walk", True), clip("flip", False)]


def test_a_new_best_is_the_mean_of_two_evaluations():
    better, worse = iter([(1.0, -30.0)]), iter([])
    assert confirmed((0.5, -20.0), None, lambda: next(better)) == (0.75, -25.0)
    assert confirmed((0.5, -20.0), (0.5, -19.0), lambda: next(worse)) == (0.5, -20.0)


def test_clips_followed_count_first_then_closeness():
    assert score_of(summarize(CLIPS)) == (0.5, -10.0)
    assert score_of(summarize(CLIPS[:1])) > score_of(summarize(CLIPS))


def test_the_clips_of_the_best_are_named_and_can_be_trained_on(tmp_path):
    folder = tmp_path / "eval"
    for clips in (CLIPS[1:], CLIPS):  # the second replaces the first
        write_findings(folder, (summarize(clips), clips), {"steps": 7}, "/data/motions")
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["clips"], summary["clips_succeeded"], summary["extra"]) == (2, 1, {"steps": 7})
    rows = (folder / "motions.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[:4] for row in rows] == [["walk", "3", "3", "1"], ["flip", "3", "1", "0"]]
    assert (folder / "failed.txt").read_text() == "/data/motions::flip\n"


def test_episodes_of_a_task_without_clips(tmp_path):
    episodes = [EpisodeResult(300, False, 1.0), EpisodeResult(100, True, 0.5)]
    write_findings(tmp_path / "eval", (summarize_episodes(episodes), episodes), {}, "motions")
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert (summary["fall_rate"], [episode["steps"] for episode in summary["results"]]) == (0.5, [300, 100])
    assert [path.name for path in (tmp_path / "eval").iterdir()] == ["summary.json"]
