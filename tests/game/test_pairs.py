"""Humans and prostheses, every one with every other."""

import csv
from dataclasses import replace

import pytest
import torch
from small_game import WALK, config, sway

from puffer_phc.config import to_dict
from puffer_phc.errors import InputError
from puffer_phc.game.options import GameConfig
from puffer_phc.game.pairs import INTACT, pairs_table, stages, write_pairs
from puffer_phc.motions.formats.npz import write
from puffer_phc.motions.loading import load_motions
from puffer_phc.training import checkpoint


@pytest.fixture(scope="module")
def prosthesis(make_game, tmp_path_factory):
    """A prosthesis whose knee is always bent, trained beside somebody."""
    cfg, game, learner = make_game("sarl")
    with torch.no_grad():
        game.joint.learner.mean_head.weight.zero_()
        game.joint.learner.mean_head.bias.fill_(0.9)
    joint = game.tested(learner.policy)
    data = {"config": to_dict(cfg), "robot": "smpl", "num_obs": joint.num_obs, "num_actions": 69}
    path = tmp_path_factory.mktemp("prostheses") / "bent.pt"
    checkpoint.save(path, {**data, "policy": joint.state_dict(), "game": game.saved})
    return path


def test_every_human_meets_every_prosthesis(human_file, prosthesis, tmp_path):
    clip = tmp_path / "piece.npz"
    walk = load_motions(WALK)[0]
    write(clip, [replace(walk, root_pos=walk.root_pos[:40], local_rot=walk.local_rot[:40])])
    humans = [human_file(), human_file(name="other")]
    results = []
    shared = set()
    dofs = checkpoint.load(prosthesis)["game"]["dofs"]
    for label, made, stage in stages(humans, [("bent", prosthesis)], "cpu", episodes=4, motion_file=str(clip)):
        shared.add(stage)
        for human in humans:
            policy = stage.meet(human, made)
            obs = torch.randn(2, policy.num_obs)
            action, _ = policy.act(obs, policy.initial_state(2), torch.zeros(2, dtype=torch.bool))
            if label != INTACT:
                assert torch.allclose(action[:, dofs], torch.tensor(0.9))
            results.append(stage.measure(policy, human.stem, label))
    assert [(r.human, r.prosthesis) for r in results] == [
        ("tracking-human", INTACT),
        ("tracking-other", INTACT),
        ("tracking-human", "bent"),
        ("tracking-other", "bent"),
    ]
    assert all(r.episodes == 4 and r.steps >= 1 and 0 <= r.falls <= 1 and r.error > 0 for r in results)
    assert len(shared) == 1  # same body, task and clips
    assert len({r.steps for r in results} | {r.error for r in results}) > 4
    assert results[2].steps < results[0].steps  # a leg that is always bent does not help
    write_pairs(tmp_path / "pairs.tsv", results)
    with (tmp_path / "pairs.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [float(row["steps"]) for row in rows] == [r.steps for r in results]
    assert rows[0]["style_logit"] == ""
    assert [column.header for column in pairs_table(results).columns][-1] == "error"


def test_what_is_no_prosthesis_is_refused(human_file):
    with pytest.raises(InputError, match="holds no prosthesis"):
        stages([human_file()], [("human", human_file(name="other"))], "cpu", 1, str(WALK))


def test_another_body_or_task_has_a_stage_of_its_own(human_file, make_game, tmp_path):
    human, games = human_file(), {}
    for name, options in {
        "plain": {},
        "heavy": {"mass_scale": 2.0},
        "surviving": {"reward": "survival"},
        "styled": {"reward": "style"},
        "trained": {"mode": "marl", "train_human": True},
    }.items():
        cfg = config(game=GameConfig(human_checkpoint=str(human), **{"mode": "sarl", **options}))
        games[name] = tmp_path / f"{name}.pt"
        checkpoint.save(games[name], {**checkpoint.load(human), "config": to_dict(cfg), "game": {"dofs": [0]}})
    made = {label: stage for label, _, stage in stages([human], list(games.items()), "cpu", 1, str(WALK))}
    assert made[INTACT] is made["plain"] is made["trained"]
    assert len(set(made.values())) == 4
    assert made["heavy"].robot.model.body_mass.sum() > made["plain"].robot.model.body_mass.sum()


def test_a_discriminator_judges_the_style(human_file, make_game, tmp_path):
    cfg, game, learner = make_game("sarl", "amp")
    joint = game.tested(learner.averaged)
    data = {"config": to_dict(cfg), "robot": "amp_humanoid", "num_obs": joint.num_obs, "num_actions": 28}
    parts = {"policy": joint.state_dict(), "game": game.saved, "style": learner.style.state_dict()}
    checkpoint.save(tmp_path / "leg.pt", {**data, **parts})
    assert checkpoint.load_policy({**data, **parts}, "amp_humanoid", joint.num_obs, 28, "leg.pt").num_actions == 28
    assert config("amp").style.steps == 2
    human = human_file("amp")
    clip = tmp_path / "sway.npz"
    _write_sway(clip, game.env.robot)
    labels = []
    for label, made, stage in stages([human], [("leg", tmp_path / "leg.pt")], "cpu", 3, str(clip)):
        result = stage.measure(stage.meet(human, made), "human", label)
        labels.append((label, result.style_logit is not None, result.success))
    assert labels == [(INTACT, False, None), ("leg", True, None)]


def _write_sway(path, robot):
    write(path, [sway(robot)])
