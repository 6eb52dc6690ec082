import numpy as np
import pytest

from puffer_phc.errors import InputError
from puffer_phc.evaluation.categories import categories_of
from puffer_phc.evaluation.metrics import ClipResult
from puffer_phc.evaluation.statistics import SUCCESS, bootstrap, group, statistics, time_curve


def clip(name, errors, success=True, category="all"):
    return ClipResult(name, len(errors), len(errors), success, {"mpjpe_g": np.asarray(errors, float)}, category)


def test_long_clips_weigh_more():
    found = group([clip("a", [10.0]), clip("b", [20.0, 20.0, 20.0], success=False)])
    assert found.metrics["mpjpe_g"].value == pytest.approx(17.5)
    assert found.metrics[SUCCESS].value == 0.5
    assert (found.clips, found.succeeded) == (2, 1)
    assert found.metrics["jerk"].value is None


def test_two_clips_by_hand():
    """Of two clips a resample is one of four, with equal chance: means 0, 0.5, 0.5, 1."""
    (found,) = bootstrap(np.array([[0.0], [1.0]]), np.ones((2, 1)))
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_intervals_agree_with_scipy():
    from scipy.stats import bootstrap as scipy_bootstrap

    values = np.random.default_rng(0).exponential(size=60)
    (mine,) = bootstrap(values[:, None], np.ones((60, 1)), seed=3)
    theirs = scipy_bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(4))
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert mine.value == pytest.approx(values.mean())
    assert mine.low == pytest.approx(theirs.confidence_interval.low, abs=0.06 * width)
    assert mine.high == pytest.approx(theirs.confidence_interval.high, abs=0.06 * width)


def test_the_same_seed_gives_the_same_interval_and_one_clip_none():
    sums = np.random.default_rng(1).random((9, 2))
    assert bootstrap(sums, np.ones((9, 2)), 5) == bootstrap(sums, np.ones((9, 2)), 5)
    assert bootstrap(sums, np.ones((9, 2)), 5) != bootstrap(sums, np.ones((9, 2)), 6)
    assert bootstrap(sums[:1], np.ones((1, 2)))[0].low is None


def test_categories_are_groups_of_their_own():
    found = statistics([clip("a", [1.0], category="walk"), clip("b", [3.0], False, "run")], 1 / 30)
    assert {name: members.succeeded for name, members in found.categories.items()} == {"run": 0, "walk": 1}
    assert found.successes.clips == 1
    assert not statistics([clip("a", [1.0])], 1 / 30).categories


def test_the_curve_ends_where_few_clips_are_left():
    curve = time_curve([clip(str(n), [5.0] * 10) for n in range(4)] + [clip("long", [9.0] * 50)], 0.1)
    assert curve.seconds == pytest.approx([0.1 * step for step in range(1, 11)])
    assert set(curve.clips) == {5}
    assert set(curve.median) == {5.0}


def test_categories_by_name_file_index_and_manifest(tmp_path):
    names = ["walk", "b_run", "other"]
    table = tmp_path / "kinds.csv"
    table.write_text("name,category\nwalk,gait\nb/run.npz,fast gait\n")
    expected = {"walk": "gait", "b_run": "fast gait", "other": "uncategorised"}
    assert categories_of(names, tmp_path / "none", table) == expected
    assert categories_of(names, tmp_path) == {}
    (tmp_path / "index.csv").write_text("file,category\nwalk.npz,gait\nb/run.npz,fast gait\n")
    assert categories_of(names, tmp_path) == expected
    manifest = tmp_path / "data.yaml"
    manifest.write_text('format: puffer_phc.dataset\nversion: 1\nfiles:\n  - path: walk.npz\n    category: "a b"\n')
    assert categories_of(["walk"], manifest) == {"walk": "a b"}
    assert categories_of(["stranger"], tmp_path) == {}


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "name,category\nnobody,x\n"])
def test_a_table_that_says_nothing_is_refused(tmp_path, text):
    table = tmp_path / "kinds.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=r"kinds\.csv"):
        categories_of(["walk"], tmp_path, table)
