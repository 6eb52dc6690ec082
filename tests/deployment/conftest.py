"""Exported policies small enough for a test: a walk of a second, networks of 32 units."""

import contextlib
import functools
import io
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from filelock import FileLock
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


def policy_of(kind, robot, library):
    """An environment and a policy for it, the same at every call."""
    cfg = Config(env=EnvConfig(action_mode="absolute")) if kind == "absolute" else Config()
    env = make_env(cfg, robot, library, 4, CPU, 1)
    return env, make_policy(env) if kind == "absolute" else make_policy(env, kind)


def export_of(env, policy, file, run):
    """A policy in action mode ``reference``, exported by the function behind the command line."""
    cfg, clips = Config(), range(env.library.num_clips)
    results = tuple(Evaluator(make_env(cfg, env.robot, env.library, 2, CPU, 1), 0.5).play(policy, clips))
    return str(export_policy(env, policy, Source(file, 4096, cfg.robot, 0.5, len(clips), results), run / "export"))


def export_by_command(run):
    """A policy in action mode ``absolute``, exported by the command line."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = cli.main(["--mode", "export", "-c", str(run), "--export.clips", "1"])
    assert code == 0
    return said.getvalue()


@pytest.fixture(scope="session")
def make_exported(robot, library, tmp_path_factory, worker_id):
    """Exports a policy of one kind, once for all processes of the suite."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent

    @functools.cache
    def make(kind):
        run, (env, policy) = base / f"exported_{kind}", policy_of(kind, robot, library)
        file, told = run / "checkpoints" / "best.pt", run / "said.txt"
        with FileLock(f"{run}.lock"):
            if not told.exists():
                options = {"env": {"action_mode": "absolute"}} if kind == "absolute" else {}
                save_checkpoint(file, policy, **options)
                said = export_by_command(run) if kind == "absolute" else export_of(env, policy, file, run)
                told.write_text(said)
        return Exported(policy, env, file, run / "export", told.read_text())

    return make


@pytest.fixture(params=KINDS)
def exported(request, make_exported):
    return make_exported(request.param)
