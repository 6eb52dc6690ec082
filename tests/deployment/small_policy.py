"""Random policies whose outputs matter, and their checkpoints."""

import json
import shutil

import onnx
import torch

from puffer_phc.policies.actor_critic import ActorCritic, PolicyConfig
from puffer_phc.policies.normalizer import MomentAccumulator
from puffer_phc.training import checkpoint

HIDDEN, LSTM = (32, 32), 16


def make_policy(env, kind="mlp"):
    """A policy with the normaliser of real observations."""
    torch.manual_seed(0)
    policy = ActorCritic(env.num_obs, env.num_actions, PolicyConfig(kind=kind, lstm_size=LSTM), HIDDEN)
    torch.nn.init.normal_(policy.mean_head.weight, std=0.02)
    moments = MomentAccumulator(env.num_obs, env.device)
    moments.start(env.reset().mean(dim=0))
    for _ in range(20):
        moments.add(env.step(0.3 * torch.randn(env.num_envs, env.num_actions))[0])
    policy.obs_norm.merge(*moments.result())
    return policy


def save_checkpoint(path, policy, env=None, **changes):
    """A checkpoint file of an ``mlp`` policy; ``env`` are options it was trained with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "config": {"policy": {"kind": "mlp", "lstm_size": LSTM, "hidden": HIDDEN}, "env": env or {}},
        "robot": "smpl",
        "num_obs": policy.num_obs,
        "num_actions": policy.num_actions,
        "policy": policy.state_dict(),
        "steps": 4096,
    }
    checkpoint.save(path, {**data, **changes})
    return path


def edited(folder, tmp_path, **changes):
    """A copy of an exported folder whose metadata say something else."""
    target = tmp_path / "edited"
    shutil.copytree(folder, target)
    text = json.dumps({**json.loads((folder / "metadata.json").read_text()), **changes})
    (target / "metadata.json").write_text(text)
    model = onnx.load(target / "policy.onnx")
    model.metadata_props[0].value = text
    onnx.save(model, target / "policy.onnx")
    return target
