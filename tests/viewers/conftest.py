"""Small sessions on the bundled motions, with policies that have learnt nothing."""

import os
from dataclasses import asdict, replace

import pytest
import torch

from puffer_phc.config import ROOT, Config, EnvConfig, PolicyConfig, resolve
from puffer_phc.factory import make_env, make_library, make_robot
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training import checkpoint
from puffer_phc.viewers.session import PlaySession

SAMPLES = ROOT / "sample_data"
CPU = torch.device("cpu")


def options(**env):
    cfg = Config(env=EnvConfig(motion_file=str(SAMPLES), **env), policy=PolicyConfig(hidden=(8,)))
    return resolve(replace(cfg, base=replace(cfg.base, threads=1, device="cpu")), CPU)


@pytest.fixture(scope="session")
def artefacts():
    """Where pictures stay that people may want to look at after the tests."""
    folder = ROOT / ".ci" / "artefacts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def world():
    """Robot and library, which nobody changes."""
    cfg = options()
    robot = make_robot(cfg)
    return robot, make_library(cfg, robot, CPU)


@pytest.fixture
def make_session(world):
    def make(envs=1, clip=0, kind="mlp", **env_options):
        env = make_env(options(**env_options), *world, envs, CPU, 1)
        torch.manual_seed(0)
        cfg = PolicyConfig(kind=kind, hidden=(8,), lstm_size=4)
        return PlaySession(env, ActorCritic(env.num_obs, env.num_actions, cfg, (8,)), clip)

    return make


@pytest.fixture(scope="session")
def run_folder(world, tmp_path_factory):
    """A run with a policy in best.pt, the same of other meaning, of another robot, and a damaged file."""
    robot, library = world
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    folder.mkdir()
    env = make_env(options(), robot, library, 1, CPU, 1)
    torch.manual_seed(0)
    policy = ActorCritic(env.num_obs, env.num_actions, PolicyConfig(hidden=(8,)), (8,))
    data = {"robot": robot.name, "num_obs": env.num_obs, "num_actions": env.num_actions}
    data |= {"policy": policy.state_dict(), "config": asdict(options())}
    checkpoint.save(folder / "best.pt", data)
    checkpoint.save(folder / "later.pt", data)
    checkpoint.save(folder / "dog.pt", data | {"robot": "dog"})
    checkpoint.save(folder / "absolute.pt", data | {"config": asdict(options(action_mode="absolute"))})
    (folder / "torn.pt").write_bytes((folder / "best.pt").read_bytes()[: os.path.getsize(folder / "best.pt") // 2])
    return folder.parent
