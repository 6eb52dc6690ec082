"""A whole run of a game: train, and go on."""

import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from small_game import WALK, config

from puffer_phc import modes
from puffer_phc.game.joint_policy import JointPolicy
from puffer_phc.game.options import GameConfig
from puffer_phc.motions.formats.npz import write
from puffer_phc.motions.loading import load_motions
from puffer_phc.training import checkpoint


@pytest.mark.parametrize("mode", ["sarl", "marl"])
def test_a_game_is_trained_and_gone_on_with(human_file, tmp_path, mode):
    walk, clip = load_motions(WALK)[0], tmp_path / "piece.npz"
    write(clip, [replace(walk, root_pos=walk.root_pos[:9], local_rot=walk.local_rot[:9])])
    human = human_file()
    cfg = config(game=GameConfig(mode=mode, human_checkpoint=str(human), train_human=mode == "marl"))
    base = replace(cfg.base, output=str(tmp_path), name="run", dashboard=False)
    cfg = replace(
        cfg,
        base=base,
        env=replace(cfg.env, motion_file=str(clip)),
        train=replace(cfg.train, total_steps=96, eval_interval=0.0),
    )
    console = Console(quiet=True)
    assert modes.train(cfg, console) == 0
    run = tmp_path / "run"
    first = checkpoint.load(run / "checkpoints" / "last.pt")
    assert first["num_actions"] == 69
    further = replace(cfg, base=replace(base, resume=str(run)), train=replace(cfg.train, total_steps=192))
    # What it was made with is in the run: the human's file is not asked for again.
    further = replace(further, game=replace(further.game, human_checkpoint=str(tmp_path / "gone.pt")))
    assert modes.train(further, console) == 0
    last = checkpoint.load(run / "checkpoints" / "last.pt")
    assert (first["steps"], last["steps"]) == (96, 192)
    name = "human.mean_head.weight"
    assert torch.equal(first["policy"][name], last["policy"][name]) == (mode == "sarl")
    assert not torch.equal(first["policy"]["learner.mean_head.weight"], last["policy"]["learner.mean_head.weight"])
    policy = checkpoint.load_policy(last, "smpl", 934, 69, "last.pt")
    assert isinstance(policy, JointPolicy)
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert max(row.get("loss/ratio_error_first", 0.0) for row in logged) < 1e-3
    assert any("game/human_gain" in row for row in logged) == (mode == "marl")
