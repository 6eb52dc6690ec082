"""Exported policies small enough for a test: a walk of a second, networks of 32 units."""

import contextlib
import functools
import io
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from small_policy import make_policy, save_checkpoint

from puffer_phc import cli
from puffer_phc.config import ROOT, Config, EnvConfig
from puffer_phc.deployment.export import Source, export_policy
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.evaluation.evaluator import Evaluator
from puffer_phc.factory import make_env, make_robot
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.loading import load_motions
from puffer_phc.policies.actor_critic import ActorCritic

CPU = torch.device("cpu")
KINDS = ("mlp", "lstm", "absolute")


class Exported(NamedTuple):
    """A policy, its environment, its checkpoint, the folder it was exported to, and what was said about that."""

    policy: ActorCritic
    env: HumanoidPHC
    file: Path
    folder: Path
    said: str


@pytest.fixture(scope="session")
def robot():
    return make_robot(Config())


@pytest.fixture(scope="session")
def library(robot):
    """Two pieces of the walk; the frames of the second fall between control steps."""
    walk = load_motions(ROOT / "sample_data" / "walk.npz")[0]

    def piece(name, frames, fps):
        rows = slice(60, 60 + frames)
        return replace(walk, name=name, fps=fps, root_pos=walk.root_pos[rows], local_rot=walk.local_rot[rows])

    return MotionLibrary([piece("walk", 31, 30.0), piece("slow_walk", 20, 24.0)], robot)


def export_of(kind, robot, library, run):
    """A policy in action mode ``reference``, exported by the function behind the command line."""
    cfg = Config()
    env = make_env(cfg, robot, library, 4, CPU, 1)
    policy = make_policy(env, kind)
    file = save_checkpoint(run / "checkpoints" / "best.pt", policy)
    clips = range(library.num_clips)
    results = tuple(Evaluator(make_env(cfg, robot, library, 2, CPU, 1), 0.5).play(policy, clips))
    differences = export_policy(env, policy, Source(file, 4096, cfg.robot, 0.5, len(clips), results), run / "export")
    return Exported(policy, env, file, run / "export", str(differences))


def export_by_command(robot, library, run):
    """A policy in action mode ``absolute``, exported by the command line."""
    env = make_env(replace(Config(), env=EnvConfig(action_mode="absolute")), robot, library, 4, CPU, 1)
    policy = make_policy(env)
    file = save_checkpoint(run / "checkpoints" / "best.pt", policy, env={"action_mode": "absolute"})
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = cli.main(["--mode", "export", "-c", str(run), "--export.clips", "1"])
    assert code == 0
    return Exported(policy, env, file, run / "export", said.getvalue())


@pytest.fixture(scope="session")
def make_exported(robot, library, tmp_path_factory):
    """Exports a policy of one kind, once."""

    @functools.cache
    def make(kind):
        run = tmp_path_factory.mktemp(kind)
        return export_by_command(robot, library, run) if kind == "absolute" else export_of(kind, robot, library, run)

    return make


@pytest.fixture(params=KINDS)
def exported(request, make_exported):
    return make_exported(request.param)
