"""Checkpoints: everything needed to act, and to go on training."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import torch

from puffer_phc.config import Config, from_dict
from puffer_phc.errors import InputError
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.policies.discriminator import Discriminator

FORMAT = "puffer_phc.checkpoint"
VERSION = 1
LAST, BEST = "last.pt", "best.pt"
_PARTS = ("config", "robot", "num_obs", "num_actions", "policy")  # what acting needs
_REMEDY = "name a .pt file this program wrote"


def save(path: Path, data: dict[str, Any]) -> None:
    """Write a checkpoint as :func:`write` does.

    Raises:
        InputError: it cannot be written.
    """
    write(path, {"format": FORMAT, "version": VERSION, **data})


def write(path: Path, data: dict[str, Any]) -> None:
    """Write tensors and numbers atomically: a crash or a full disk leaves the old file as it was.

    Raises:
        InputError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            torch.save(data, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch wraps write errors of its archive in RuntimeError
        with contextlib.suppress(OSError):  # it may be what cannot be written to
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
    data = read(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(path, "is no checkpoint of this program", _REMEDY)
    version = data.get("version")
    if not isinstance(version, int):
        raise InputError(path, "has no version number", _REMEDY)
    if version > VERSION:
        raise InputError(path, f"has version {version}, newer than {VERSION}", "update puffer-phc")
    missing = [part for part in _PARTS if part not in data]
    if missing:
        raise InputError(path, f"lacks {', '.join(missing)}", _REMEDY)
    return data


def read(path: Path) -> Any:
    """What :func:`write` wrote, or any other file of tensors and plain values; tensors come on the CPU.

    Raises:
        InputError: it cannot be read, is damaged or holds anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles that torch did not write; they are refused or fine
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises many types on damaged bytes
        raise InputError(path, f"is no readable checkpoint ({_brief(error)})", _REMEDY) from None


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


def config_of(data: dict[str, Any], where: str | Path = "checkpoint") -> Config:
    """The options a checkpoint was trained with.

    Raises:
        InputError: they are damaged; ``where`` says whose.
    """
    try:
        return from_dict(data["config"])
    except Exception as error:  # anything may stand where options should
        raise InputError(where, f"has damaged options ({_brief(error)})", _REMEDY) from None


def load_policy(data: dict[str, Any], robot_name: str, num_obs: int, num_actions: int, where: str) -> ActorCritic:
    """The policy of a checkpoint; of a game's (see ``docs/game.md``) that of all agents together.

    Raises:
        InputError: it is for another robot or another observation, or its options or weights are damaged.
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
    if data.get("game"):
        from puffer_phc.game.partner import load_joint  # which itself reads checkpoints

        return load_joint(data, num_obs, num_actions, where)
    cfg = config_of(data, where).policy
    try:
        policy = ActorCritic(num_obs, num_actions, cfg, cfg.hidden)
        policy.load_state_dict(data["policy"])
    except Exception as error:  # sizes that make no network, or weights of another one
        raise InputError(where, f"has weights that do not fit its options ({_brief(error)})", _REMEDY) from None
    return policy


def load_discriminator(data: dict[str, Any], size: int, where: str) -> Discriminator | None:
    """The discriminator of motions of a checkpoint, for observations of ``size`` numbers; None if it has none.

    Raises:
        InputError: it is damaged or for other observations.
    """
    if not data.get("style"):
        return None
    cfg = config_of(data, where).style
    try:
        discriminator = Discriminator(size, cfg.hidden, cfg.kind)
        discriminator.load_state_dict(data["style"]["discriminator"])
    except Exception as error:  # anything may stand where weights should
        raise InputError(where, f"has a discriminator that does not fit ({_brief(error)})", _REMEDY) from None
    return discriminator


def _brief(error: Exception) -> str:
    """The first line of an error, or its kind where it says nothing."""
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
