"""Checkpoints: everything needed to act, and to go on training."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from puffer_phc.config import Config, from_dict
from puffer_phc.errors import InputError
from puffer_phc.policies.actor_critic import ActorCritic

FORMAT = "puffer_phc.checkpoint"
VERSION = 1
LAST, BEST = "last.pt", "best.pt"


def save(path: Path, data: dict[str, Any]) -> None:
    """Write a checkpoint atomically: a crash or a full disk leaves the old file as it was.

    Raises:
        InputError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            torch.save({"format": FORMAT, "version": VERSION, **data}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch wraps write errors of its archive in RuntimeError
        temporary.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise InputError(
            path, f"checkpoint cannot be written ({reason})", "free some space or check the folder"
        ) from None


def load(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint file, or the best one of a run folder; tensors come on the CPU.

    Raises:
        InputError: there is none, it is damaged, or it is none of ours.
    """
    path = find(Path(path))
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        fault = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(path, f"is no readable checkpoint ({fault})", "name a .pt file this program wrote") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(path, "is no checkpoint of this program", "name a .pt file this program wrote")
    if data["version"] > VERSION:
        raise InputError(path, f"has version {data['version']}, newer than {VERSION}", "update puffer-phc")
    return data


def find(path: Path) -> Path:
    """The checkpoint file that ``path``, a file or a run folder, stands for."""
    if path.is_dir():
        for name in (BEST, LAST):
            if (path / "checkpoints" / name).is_file():
                return path / "checkpoints" / name
        raise InputError(path, "has no checkpoints/best.pt or last.pt", "name a run folder or a .pt file")
    if not path.is_file():
        raise InputError(path, "does not exist", "name a run folder or a .pt file")
    return path


def config_of(data: dict[str, Any]) -> Config:
    """The options a checkpoint was trained with."""
    return from_dict(data["config"])


def load_policy(data: dict[str, Any], robot_name: str, num_obs: int, num_actions: int, where: str) -> ActorCritic:
    """The policy of a checkpoint.

    Raises:
        InputError: it is for another robot or another observation.
    """
    if data["robot"] != robot_name:
        raise InputError(where, f"is for robot {data['robot']!r}, not {robot_name!r}", "use its own robot")
    if (data["num_obs"], data["num_actions"]) != (num_obs, num_actions):
        raise InputError(
            where,
            f"takes {data['num_obs']} observations and {data['num_actions']} actions, "
            f"the environment has {num_obs} and {num_actions}",
            "use the options it was trained with",
        )
    cfg = config_of(data)
    policy = ActorCritic(num_obs, num_actions, cfg.policy, cfg.policy.hidden)
    policy.load_state_dict(data["policy"])
    return policy
