"""Whether exported files compute what the checkpoint computes, on observations of the environment itself."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_phc.deployment.metadata import ONNX_FILE, TORCHSCRIPT_FILE, Metadata
from puffer_phc.deployment.runner import PolicyRunner
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.errors import InputError
from puffer_phc.policies.actor_critic import ActorCritic

TOLERANCE = 1e-5
"""Largest difference of an action, a state or a target. A target may differ by this for each rad that an action spans,
where that is more than one."""

_SINGLE = 16  # rows that are also computed one by one
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """What the trained policy and the environment's own action map make of real observations.

    Attributes:
        inputs: by the graph's names: raw observation (M, O), reference pose (M, D), recurrent state (M, S).
        outputs: by the graph's names: targets (M, D) rad, actions (M, D), next state (M, S).
    """

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]

    def rows(self, metadata: Metadata) -> tuple[Tensor, ...]:
        """The inputs that this policy has, in the graph's order."""
        return tuple(self.inputs[name] for name in metadata.inputs)


@torch.no_grad()
def collect(env: HumanoidPHC, policy: ActorCritic, count: int) -> Samples:
    """Let the policy explore, noise included, for ``count`` steps of all humanoids together (rounded up).

    The recurrent state of a sample is the one its action was computed from, zeroed where an episode begins.
    """
    names = ("obs", "reference_dof_pos", "state", "target", "action", "next_state")
    gathered: dict[str, list[Tensor]] = {name: [] for name in names}
    own = policy.actor.state_size
    obs, state = env.reset(), policy.initial_state(env.num_envs)
    fresh = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
    while len(gathered["obs"]) * env.num_envs < count:
        state = state * ~fresh[:, None]
        mean, following = policy.act(obs, state, torch.zeros_like(fresh))
        # An action map's pose ahead is what it makes of no action, wherever it takes it from.
        ahead, target = env.actions(torch.zeros_like(mean)), env.actions(mean)
        values = (obs, ahead, state[:, :own], target, mean.clamp(-1.0, 1.0), following[:, :own])
        for name, value in zip(names, values, strict=True):
            gathered[name].append(value.detach().cpu().clone())
        noise = policy.log_std.exp() * torch.randn(mean.shape, generator=env.generator, device=env.device)
        obs, _, terminated, truncated = env.step(mean + noise)
        state, fresh = following, terminated | truncated
    stacked = {name: torch.cat(values)[:count] for name, values in gathered.items()}
    return Samples({k: stacked[k] for k in names[:3]}, {k: stacked[k] for k in names[3:]})


def largest_differences(folder: Path, samples: Samples, metadata: Metadata) -> dict[str, float]:
    """By file, the largest difference between its outputs and those of the checkpoint, see :data:`TOLERANCE`."""
    inputs = {name: samples.inputs[name].numpy() for name in metadata.inputs}
    return {
        ONNX_FILE: _compare(_run_onnx(folder, inputs, metadata), samples, metadata),
        TORCHSCRIPT_FILE: _compare(_run_torchscript(folder / TORCHSCRIPT_FILE, samples, metadata), samples, metadata),
    }


def check(differences: dict[str, float]) -> None:
    """Raise unless all files agree with the checkpoint.

    Raises:
        InputError: one differs by more than :data:`TOLERANCE`.
    """
    for name, difference in differences.items():
        if not difference <= TOLERANCE:  # also when it is not a number
            fault = f"differs from the checkpoint by {difference:.2g}, more than {TOLERANCE:g}"
            raise InputError(name, fault, "this is a fault of the exporter; nothing was written")


def _run_onnx(folder: Path, inputs: dict[str, Float32], metadata: Metadata) -> list[tuple[Float32, ...]]:
    """Outputs of all rows at once, and of the first few one by one."""
    runner = PolicyRunner(folder)
    whole = runner.outputs(inputs)
    single = [runner.outputs({name: array[row : row + 1] for name, array in inputs.items()}) for row in range(_SINGLE)]
    return [whole, tuple(np.concatenate(parts) for parts in zip(*single, strict=True))]


def _run_torchscript(path: Path, samples: Samples, metadata: Metadata) -> list[tuple[Float32, ...]]:
    with warnings.catch_warnings(action="ignore"):  # of TorchScript's age
        module = torch.jit.load(str(path))
    rows = samples.rows(metadata)
    with torch.no_grad():
        whole, few = module(*rows), module(*(tensor[:_SINGLE] for tensor in rows))
    return [tuple(tensor.numpy() for tensor in outputs) for outputs in (whole, few)]


def _compare(results: list[tuple[Float32, ...]], samples: Samples, metadata: Metadata) -> float:
    worst = 0.0
    # A target of five radians per unit of action carries five times the action's rounding.
    scales = {"target": np.maximum(np.abs(np.array(metadata.action.scale)), 1.0)}
    for outputs in results:
        for name, found in zip(metadata.outputs, outputs, strict=True):
            wanted = samples.outputs[name][: len(found)].numpy()
            difference = np.abs(found.astype(np.float64) - wanted) / scales.get(name, 1.0)
            worst = max(worst, float(difference.max(initial=0.0))) if np.isfinite(difference).all() else float("inf")
    return worst
