"""One run, one folder: options, metrics, checkpoints."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from puffer_phc.config import ROOT, Config, to_dict
from puffer_phc.errors import InputError

_PACKAGES = ("puffer-phc", "mujoco", "mujoco-core", "torch", "numpy", "pufferlib")


class RunFolder:
    """``experiments/<run>/`` with ``config.json``, ``metrics.jsonl``, TensorBoard events and ``checkpoints/``.

    Attributes:
        path: the folder.
    """

    def __init__(self, cfg: Config, path: Path, resumed: bool) -> None:
        """Make the folder, or open it again when ``resumed``.

        Raises:
            InputError: it cannot be made or written, or is there already.
        """
        self.path = path
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=resumed)
            if not resumed:
                text = json.dumps({"options": to_dict(cfg), "versions": versions()}, indent=2)
                (path / "config.json").write_text(text + "\n", encoding="utf-8")
            self._metrics = (path / "metrics.jsonl").open("a", encoding="utf-8")
        except FileExistsError:
            raise InputError(
                path, "there is a run of this name already", "choose another --name or --resume it"
            ) from None
        except OSError as error:
            raise InputError(path, f"cannot be written ({error.strerror})", "choose another --output folder") from None
        # Imported late: both take a second, and reading a checkpoint needs neither.
        from torch.utils.tensorboard import SummaryWriter

        self._tensorboard = SummaryWriter(str(path))
        self._wandb = _start_wandb(cfg, path) if cfg.base.track else None

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    def log(self, step: int, values: dict[str, float]) -> None:
        """Append one row of metrics at ``step`` samples.

        Raises:
            InputError: the disk is full.
        """
        try:
            self._metrics.write(json.dumps({"step": step, **values}) + "\n")
            self._metrics.flush()
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)
        except OSError as error:
            fault = f"metrics cannot be written ({error.strerror})"
            raise InputError(self.path, fault, "free some space, then --resume this run") from None
        if self._wandb:
            self._wandb.log(values, step=step)

    def log_video(self, step: int, path: Path) -> None:
        """Send a video of the run folder along with the metrics, where these go to Weights & Biases."""
        if self._wandb:
            import wandb

            self._wandb.log({"video": wandb.Video(str(path), format="mp4")}, step=step)

    def truncate(self, step: int) -> None:
        """Forget metrics after ``step``: a resumed run writes them again."""
        file = self.path / "metrics.jsonl"
        kept = [line for line in file.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step]
        self._metrics.close()
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        temporary.replace(file)
        self._metrics = file.open("a", encoding="utf-8")

    def close(self) -> None:
        """Flush and close all logs; what a full disk kept from being written is lost, as :meth:`log` has told."""
        for log in (self._metrics, self._tensorboard):
            with contextlib.suppress(OSError):
                log.close()
        if self._wandb:
            self._wandb.finish()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def make_folder(path: Path) -> None:
    """Make a folder of results, if need be.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(path, f"cannot be made ({error.strerror})", "choose another --output folder") from None


def new_run_path(cfg: Config) -> Path:
    """``output/name``; without a name, motion and time make one."""
    name = cfg.base.name or f"{Path(cfg.env.motion_file).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    return Path(cfg.base.output) / name


def versions() -> dict[str, str]:
    """What produced a run: packages, Python, platform and git commit."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return {**found, "python": platform.python_version(), "platform": platform.platform(), "git": _git_commit()}


def _git_commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line cut short when the run was killed


def _start_wandb(cfg: Config, path: Path) -> Any:
    try:
        import wandb
    except ImportError:
        raise InputError("--track", "Weights & Biases is not installed", "run: uv sync --extra track") from None
    return wandb.init(**wandb_settings(cfg, path))


def wandb_settings(cfg: Config, path: Path) -> dict[str, Any]:
    """What a run tells Weights & Biases; a sweep's runs get name, group and job type through W&B's own variables."""
    name = os.environ.get("WANDB_NAME") or path.name
    return {"project": "puffer-phc", "name": name, "dir": str(path), "config": to_dict(cfg), "resume": "allow"}
