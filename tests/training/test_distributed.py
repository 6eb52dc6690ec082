"""Two ranks on the CPU, started as users start them: they learn as one."""

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from puffer_phc.config import ROOT, Config, EnvConfig, PolicyConfig
from puffer_phc.evaluation.evaluator import Evaluator
from puffer_phc.factory import make_env, make_robot
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.loading import load_motions
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training import checkpoint
from puffer_phc.training.amp import StyleConfig, StyleLearner
from puffer_phc.training.distributed import World, joined, seed_of
from puffer_phc.training.trainer import evaluate_together

RANKS = 2
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS)]


def torchrun(train_command, *more, **options):
    command = [*TORCHRUN, *train_command[1:], *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, **options)


@pytest.fixture(scope="module")
def finished(train_command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    result = torchrun(train_command, "--output", str(folder), "--name", "run")
    assert result.returncode == 0, result.stderr
    return folder / "run", result


@pytest.mark.timeout(180)
def test_two_ranks_train_together(finished):
    """512 samples in half as many iterations, reported once."""
    run, result = finished
    data = checkpoint.load(run / "checkpoints" / checkpoint.LAST)
    assert (data["steps"], data["updates"]) == (512, 4)
    assert len(data["ranks"]) == RANKS
    own, other = (rank["generators"] for rank in data["ranks"])
    assert not torch.equal(own[0], other[0])  # every rank has its own luck ...
    assert torch.equal(data["ranks"][0]["sampler"], data["ranks"][1]["sampler"])  # ... and all practise the same
    assert float(data["policy"]["obs_norm.count"]) == 512 + 16  # both ranks' observations, and the first ones
    assert result.stdout.count("the best policy of the run") == 1
    assert json.loads((run / "eval" / "summary.json").read_text())["clips"] == 1


@pytest.mark.timeout(180)
def test_a_run_of_two_goes_on(finished, train_command):
    run, _ = finished
    more = torchrun([*train_command[:2], "--resume", str(run)], "--train.total_steps", "768")
    assert more.returncode == 0, more.stderr
    data = checkpoint.load(run / "checkpoints" / checkpoint.LAST)
    assert (data["steps"], data["updates"]) == (768, 6)


def test_bad_input_is_told_on_every_rank(train_command, tmp_path):
    result = torchrun([*train_command, "--env.motion_file", str(tmp_path / "none.npz")])
    assert result.returncode != 0
    assert "none.npz" in result.stderr


# -- what ranks exchange, without a whole run ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_ranks(tmp_path_factory):
    """What two ranks get from each piece of work, by its name."""
    folder = tmp_path_factory.mktemp("spawned")
    mp.spawn(_rank, args=(str(folder),), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(RANKS)]


def _rank(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", RANKS), rank=rank, world_size=RANKS)
    world = World(rank, RANKS, dist.group.WORLD)
    results = {"exchange": exchange(world), "learning": learn_from_halves(world), "style": judge_motions(world)}
    results["shards"] = evaluate_shards(world)
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def exchange(world):
    tensors = [torch.full((2, 3), world.rank + 1.0), torch.tensor(world.rank, dtype=torch.float64)]
    world.sum_(tensors)
    start = torch.full((2,), float(world.rank))
    world.broadcast_(start)
    return {
        "sum": tensors,
        "mean": world.mean(torch.tensor([1.0, 3.0]) * (world.rank + 1)),
        "start": start,
        "largest": world.largest([world.rank, -world.rank]),
        "gather": world.gather({"rank": world.rank}),
    }


def test_what_ranks_exchange(in_ranks):
    for result in (rank["exchange"] for rank in in_ranks):
        assert torch.equal(result["sum"][0], torch.full((2, 3), 3.0))
        assert float(result["sum"][1]) == 1.0
        assert result["mean"].tolist() == [1.5, 4.5]
        assert result["start"].tolist() == [0.0, 0.0]
        assert result["largest"] == [1.0, 0.0]
        assert result["gather"] == [{"rank": 0}, {"rank": 1}]


def learn_from_halves(world):
    """One update from this rank's half of a rollout of 16 humanoids."""
    from test_ppo import make_buffer, make_policy

    from puffer_phc.training.ppo import PPO, PPOConfig

    policy = make_policy()
    torch.nn.init.normal_(policy.mean_head.weight, generator=torch.Generator().manual_seed(1))
    whole = make_buffer(policy)
    advantages = torch.randn(8, 16, generator=torch.Generator().manual_seed(2))
    own = slice(8 * world.rank, 8 * world.rank + 8) if world.size > 1 else slice(None)
    names = ("obs", "actions", "log_probs", "values", "fresh")
    half = type(whole)(**{**vars(whole), **{name: getattr(whole, name)[:, own] for name in names}})
    half.states = policy.initial_state(half.obs.shape[1])[None]
    ppo = PPO(policy, replace(PPOConfig(), epochs=1, minibatches=1, learning_rate=1e-3), world)
    metrics = ppo.update(half, advantages[:, own], advantages[:, own], torch.Generator().manual_seed(3))
    return [parameter.detach() for parameter in policy.parameters()], metrics, float(ppo.learning_rate)


def evaluate_shards(world):
    """Summary and names of two clips, of which this rank has one."""
    cfg = Config(env=EnvConfig(motion_file="none", shard=True))
    robot, cpu = make_robot(cfg), torch.device("cpu")
    clip = load_motions(ROOT / "sample_data" / "walk.npz")[0]
    name, frames = (("a", 9), ("b", 12))[world.rank]
    clip = replace(clip, name=name, root_pos=clip.root_pos[:frames], local_rot=clip.local_rot[:frames])
    env = make_env(cfg, robot, MotionLibrary([clip], robot, cpu), 2, cpu, 0)
    torch.manual_seed(0)
    policy = ActorCritic(env.num_obs, env.num_actions, PolicyConfig(), (8,))
    summary, results = evaluate_together(Evaluator(env, 0.5), policy, True, world)
    return summary["clips"], [(result.name, result.frames) for result in results]


def test_shards_are_evaluated_as_a_whole(in_ranks):
    """Two clips, one on each rank: everyone has the results of both, in order."""
    assert [rank["shards"] for rank in in_ranks] == [(2, [("a", 8), ("b", 11)])] * RANKS  # control steps


def judge_motions(world):
    """The discriminator of differences before and after two rollouts of this rank's own."""
    scene = SimpleNamespace(device=torch.device("cpu"))
    torch.manual_seed(world.rank)
    cfg = StyleConfig(kind="add", hidden=(6,), batch=16, replay_buffer=100)
    style = StyleLearner(cfg, SimpleNamespace(size=4, scene=scene), 2, seed=world.rank, world=world)
    start = [tensor.clone() for tensor in style.discriminator.state_dict().values()]
    for _ in range(2):
        buffer = SimpleNamespace(style=torch.randn(4, 8, 4) + world.rank, rewards=torch.zeros(4, 8))
        style.add_reward(buffer)
        metrics = style.update(buffer)
    return start, list(style.discriminator.state_dict().values()), metrics


def test_ranks_share_one_discriminator_of_motions(in_ranks):
    (start, end, metrics), (other_start, other_end, other_metrics) = (rank["style"] for rank in in_ranks)
    for own, other in (*zip(start, other_start, strict=True), *zip(end, other_end, strict=True)):
        torch.testing.assert_close(own, other, atol=1e-7, rtol=1e-6)
    assert not any(torch.equal(before, after) for before, after in zip(start, end, strict=True))
    assert torch.equal(metrics, other_metrics)


def test_two_ranks_learn_what_one_would_from_both_rollouts(in_ranks):
    """The same weights, to rounding: gradients, advantage moments and the learning rate are those of the whole."""
    alone, metrics, rate = learn_from_halves(World())
    for parameters, shared_metrics, shared_rate in (rank["learning"] for rank in in_ranks):
        assert shared_rate == rate
        torch.testing.assert_close(shared_metrics[:6], metrics[:6], atol=1e-6, rtol=1e-4)
        for own, expected in zip(parameters, alone, strict=True):
            torch.testing.assert_close(own, expected, atol=1e-6, rtol=1e-4)


def test_a_world_of_one_changes_nothing():
    world, tensor = World(), torch.tensor([1.0, 2.0])
    world.sum_([tensor])
    world.broadcast_(tensor)
    assert tensor.tolist() == world.mean(tensor).tolist() == [1.0, 2.0]
    assert (world.largest([3.0]), world.gather("x")) == ([3.0], ["x"])
    with joined(torch.device("cpu")) as alone:
        assert alone == World()


def test_seeds_of_ranks_differ_from_those_of_other_runs():
    assert len({seed_of(seed, rank) for seed in range(100) for rank in range(8)}) == 800
