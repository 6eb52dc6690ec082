"""Policies of puffer-phc and PHC as checkpoints of this program.

Layouts are recognised by shape and order, names only help: a chain of linear layers that begins with the observation
is a trunk, the matrix with an output for each action is the actor's head, that with a single one the critic's.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from puffer_phc.config import Config, to_dict
from puffer_phc.errors import InputError
from puffer_phc.policies.actor_critic import ActorCritic, PolicyConfig
from puffer_phc.training import checkpoint

_PHC_LOG_STD = -2.9
_REMEDY = "give a model_*.pt of puffer-phc, or convert it where it was trained"
_DTYPES = [type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "bool")]
# Numbers that old programs saved as NumPy scalars; building them runs nothing.
_SCALARS = [np.dtype, *_DTYPES]


@dataclass
class Trunk:
    """Layers from the observation to the features before a head, in order."""

    name: str
    weights: list[Tensor] = field(default_factory=list)
    biases: list[Tensor] = field(default_factory=list)
    norm: tuple[Tensor, Tensor] | None = None

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of its layers."""
        return tuple(weight.shape[0] for weight in self.weights)


def convert(source: Path, target: Path, cfg: Config, robot_name: str, num_obs: int, num_actions: int) -> Config:
    """Write the policy in ``source`` to ``target`` as a checkpoint; its options, which are ``cfg`` but for the policy.

    Args:
        source: a ``.pt`` or ``.pth`` file with a state dictionary anywhere in it.
        target: the checkpoint to write.
        cfg: options of the environment it is to act in; actions become ``absolute``, as PHC's are.
        robot_name: the robot of ``cfg``.
        num_obs: O of that environment, 934 for the SMPL body.
        num_actions: D.

    Raises:
        InputError: the file is unreadable, or its network is another than ours; the message names what differs.
    """
    tensors = _tensors(_load(source))
    actor, critic = _trunks(tensors, source, num_obs, num_actions)
    log_std = _log_std(tensors, num_actions)
    policy_cfg = PolicyConfig(hidden=actor.hidden, log_std=float(log_std.mean()))
    cfg = replace(cfg, policy=policy_cfg, env=replace(cfg.env, action_mode="absolute"))
    policy = ActorCritic(num_obs, num_actions, policy_cfg, policy_cfg.hidden).requires_grad_(False)
    for own, found in ((policy.actor.mlp, actor), (policy.critic.mlp, critic)):
        _fill(own, found, source)
    _copy_head(policy.mean_head, tensors, num_actions, source)
    _copy_head(policy.value_head, tensors, 1, source)
    policy.log_std.copy_(log_std)
    for own_statistic, value in zip(
        (policy.obs_norm.mean, policy.obs_norm.var, policy.obs_norm.count),
        _statistics(tensors, source, num_obs),
        strict=True,
    ):
        own_statistic.copy_(value)
    data = {
        "config": to_dict(cfg),
        "robot": robot_name,
        "num_obs": num_obs,
        "num_actions": num_actions,
        "policy": policy.state_dict(),
        "steps": 0,
        "imported_from": source.name,
    }
    checkpoint.save(target, data)
    return cfg


def _load(path: Path) -> Any:
    if not path.is_file():
        raise InputError(path, "does not exist", "name a .pt file")
    allowed = [*_SCALARS, (_numpy_scalar(), "numpy.core.multiarray.scalar"), _numpy_scalar()]
    try:
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises many types on what it refuses and on damaged bytes
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found:
            fault = f"holds more than numbers ({found[1]}), which is not run"
            remedy = "save its state_dict() alone where it was made"
            raise InputError(path, fault, remedy) from None
        brief = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(path, f"is no readable checkpoint ({brief})", _REMEDY) from None


def _numpy_scalar() -> Any:
    return np.float64(0.0).__reduce__()[0]  # its module has moved between versions of NumPy


def _tensors(data: Any, prefix: str = "") -> dict[str, Tensor]:
    """All tensors in nested dictionaries, by dotted name, in the file's order."""
    found: dict[str, Tensor] = {}
    if isinstance(data, Mapping):
        for key, value in data.items():
            found |= _tensors(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(data, Tensor) and "optimizer" not in prefix:
        found[prefix] = data.detach()
    return found


def _trunks(tensors: dict[str, Tensor], where: Path, num_obs: int, num_actions: int) -> tuple[Trunk, Trunk]:
    """Actor's and critic's."""
    if not any(tensor.dim() == 2 and tensor.shape[0] == num_actions for tensor in tensors.values()):
        raise InputError(where, f"has no layer with {num_actions} outputs, the number of actions", _REMEDY)
    trunks: list[Trunk] = []
    for name, tensor in tensors.items():
        stem = name.removesuffix(".weight")
        bias = tensors.get(f"{stem}.bias")
        if stem == name or bias is None:
            continue
        if tensor.dim() == 2 and tensor.shape[0] not in (1, num_actions):
            if tensor.shape[1] == num_obs:
                trunks.append(Trunk(stem))
            elif not trunks or tensor.shape[1] != trunks[-1].hidden[-1]:
                continue  # of a discriminator, or of nothing we know
            trunks[-1].weights.append(tensor)
            trunks[-1].biases.append(bias)
        elif tensor.dim() == 1 and trunks and tensor.shape[0] == trunks[-1].hidden[-1]:
            trunks[-1].norm = (tensor, bias)
    if len(trunks) != 2:
        inputs = sorted({tensor.shape[1] for tensor in tensors.values() if tensor.dim() == 2})
        fault = f"has {len(trunks)} networks of {num_obs} observations, not an actor's and a critic's"
        raise InputError(where, f"{fault} (layers have {', '.join(map(str, inputs[:8])) or 'no'} inputs)", _REMEDY)
    trunks.sort(
        key=lambda trunk: bool(re.search("critic|value", trunk.name))
    )  # stable: without names the actor is first
    actor, critic = trunks
    if actor.hidden != critic.hidden:
        raise InputError(where, f"has an actor of {actor.hidden} and a critic of {critic.hidden} units", _REMEDY)
    return actor, critic


def _fill(own: nn.Sequential, found: Trunk, where: Path) -> None:
    if found.norm is None:
        raise InputError(where, f"has no LayerNorm behind the last layer of {found.name}, as our network has", _REMEDY)
    linears = [layer for layer in own if isinstance(layer, nn.Linear)]
    for layer, weight, bias in zip(linears, found.weights, found.biases, strict=True):
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    norm = next(layer for layer in own if isinstance(layer, nn.LayerNorm))
    norm.weight.copy_(found.norm[0])
    norm.bias.copy_(found.norm[1])


def _copy_head(own: nn.Linear, tensors: dict[str, Tensor], outputs: int, where: Path) -> None:
    shape = tuple(own.weight.shape)
    names = [name for name, tensor in tensors.items() if tuple(tensor.shape) == shape and name.endswith(".weight")]
    if outputs == 1 and len(names) > 1:  # a discriminator has one, too
        names = [name for name in names if not re.search("disc", name)]
    if len(names) != 1:
        kind = "value" if outputs == 1 else "action"
        raise InputError(where, f"has {len(names)} {kind} layers of shape {shape}, not one", _REMEDY)
    own.weight.copy_(tensors[names[0]])
    own.bias.copy_(tensors[f"{names[0].removesuffix('.weight')}.bias"])


def _statistics(tensors: dict[str, Tensor], where: Path, num_obs: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and count of the observations."""
    rows = {name: tensor for name, tensor in tensors.items() if tuple(tensor.shape) == (num_obs,)}
    if len(rows) != 2:
        fault = f"has {len(rows)} rows of {num_obs} statistics, not a mean and a variance"
        raise InputError(where, fault, _REMEDY)
    mean, var = sorted(rows, key=lambda name: "var" in name)  # stable: without names the mean is first
    scope = mean.rpartition(".")[0]
    counts = [tensor for name, tensor in tensors.items() if name.startswith(scope) and "count" in name]
    count = counts[0].reshape(()) if counts and counts[0].numel() == 1 else torch.tensor(1.0)
    return rows[mean], rows[var], count


def _log_std(tensors: dict[str, Tensor], num_actions: int) -> Tensor:
    for name, tensor in tensors.items():
        if re.search("sigma|log_?std", name) and tensor.numel() == num_actions:
            return tensor.reshape(num_actions).float()
    return torch.full((num_actions,), _PHC_LOG_STD)
