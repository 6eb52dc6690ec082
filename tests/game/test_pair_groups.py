"""Pairs over several seeds."""

import csv
import math
from dataclasses import replace

import pytest

from puffer_phc.config import to_dict
from puffer_phc.errors import InputError
from puffer_phc.game.pair_groups import kind_of, kinds, kinds_table, partners, with_effort, write_kinds
from puffer_phc.game.pairs import INTACT, PairResult
from puffer_phc.training import checkpoint


@pytest.fixture
def game_file(make_game, tmp_path):
    """Makes the checkpoint of a game beside a human."""

    def make(name, human, mode="sarl", **options):
        cfg, game, learner = make_game(mode, human=human, **options)
        joint = game.tested(learner.averaged)
        data = {"config": to_dict(cfg), "robot": "smpl", "num_obs": joint.num_obs, "num_actions": 69}
        path = tmp_path / f"{name}.pt"
        checkpoint.save(path, {**data, "policy": joint.state_dict(), "game": game.saved, "steps": 7, "seconds": 2.5})
        return path

    return make


def test_a_prosthesis_knows_the_human_it_was_trained_beside(human_file, game_file):
    humans = [human_file(), human_file(name="other")]
    assert partners(game_file("first", humans[0]), humans) == humans[:1]
    second = game_file("second", humans[1])
    assert partners(second, humans) == humans[1:]
    # The human of a game counts as the one it was.
    assert partners(second, [humans[0], game_file("again", humans[1])])[0].stem == "again"
    learning = game_file("learning", humans[1], "marl", train_human=True)
    assert partners(learning, humans) == humans[1:]
    with pytest.raises(InputError, match="beside none of the humans"):
        partners(second, humans[:1])


def test_a_checkpoint_tells_what_it_took(human_file, game_file):
    result = PairResult("a", "b", 1, 2.0, 0.0, 0.0)
    assert with_effort(result, game_file("leg", human_file())) == replace(result, samples=7, seconds=2.5)
    assert with_effort(result, human_file()).seconds is None


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("sarl-1", "sarl"),
        ("sarl-5e-5-2", "sarl-5e-5"),
        ("leg12", "leg"),
        ("7", "7"),
        (INTACT, INTACT),
        ("a/b_3", "a/b"),
    ],
)
def test_runs_that_differ_by_a_number_are_of_one_kind(label, kind):
    assert kind_of(label) == kind


def test_means_and_deviations_are_over_the_pairs_of_a_kind(tmp_path):
    results = [
        PairResult("h-1", INTACT, 4, 100.0, 0.0, 1.0),
        PairResult("h-2", INTACT, 4, 50.0, 0.5, 1.0),
        PairResult("h-1", "sarl-1", 4, 90.0, 0.1, 1.0, success=1.0, seconds=10.0),
        PairResult("h-2", "sarl-2", 4, 50.0, 0.3, 1.0, success=0.0),
        PairResult("h-2", "marl-2", 4, 25.0, 0.3, 1.0),
    ]
    intact, sarl, marl = kinds(results)
    assert [row["kind"] for row in (intact, sarl, marl)] == [INTACT, "sarl", "marl"]
    assert (intact["pairs"], intact["steps"], intact["of_intact"]) == (2, 75.0, 1.0)
    assert (sarl["steps"], sarl["steps_std"]) == (70.0, pytest.approx(math.sqrt(800)))
    assert (sarl["of_intact"], sarl["falls"]) == (pytest.approx(0.95), pytest.approx(0.2))
    assert (sarl["success"], sarl["seconds"]) == (0.5, None)  # not known of both
    assert (marl["pairs"], marl["of_intact"], marl["steps_std"]) == (1, 0.5, None)
    table = kinds_table([intact, sarl, marl])
    assert [column.header for column in table.columns] == [
        "kind",
        "pairs",
        "steps",
        "of intact",
        "falls",
        "reward",
        "success",
    ]
    assert list(table.columns[2].cells)[1:] == ["70.0 ± 28.3", "25.0"]
    write_kinds(tmp_path / "kinds.tsv", [intact, sarl, marl])
    with (tmp_path / "kinds.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["kind"] for row in rows] == [INTACT, "sarl", "marl"]
    assert (float(rows[1]["steps"]), rows[2]["steps_std"]) == (70.0, "")
