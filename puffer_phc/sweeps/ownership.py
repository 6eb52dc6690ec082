"""Whose a running trial is, and whether its owner still lives.

Each driver writes itself into the trials it runs, and a heartbeat. On the same machine the process table tells at once
that a driver is dead; of others only that their heartbeat has stopped, which is timed by the observer's own clock.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

OWNER, HEARTBEAT = "owner", "heartbeat"
BEAT = 20.0  # s between heartbeats
SILENCE = 120.0  # s without one, after which a driver elsewhere counts as dead


def identity() -> dict[str, Any]:
    """This process, unlike any other on any machine."""
    return {"machine": _machine(), "pid": os.getpid(), "born": _born(os.getpid())}


class Watch:
    """Tells which running trials are orphans."""

    def __init__(self, silence: float = SILENCE) -> None:
        self._me, self._silence = identity(), silence
        self._seen: dict[int, tuple[Any, float]] = {}
        self._vouched: set[int] = set()

    def is_mine(self, trial: FrozenTrial) -> bool:
        """Whether this process started the trial."""
        return bool(trial.user_attrs.get(OWNER) == self._me)

    def is_orphan(self, trial: FrozenTrial) -> bool:
        """Whether a running trial's owner is dead, as far as is known by now."""
        owner = trial.user_attrs.get(OWNER)
        if owner and owner["machine"] == self._me["machine"]:
            alive = _born(owner["pid"]) == owner["born"]
            if alive:
                self._vouched.add(trial.number)
            return not alive
        beat, now = trial.user_attrs.get(HEARTBEAT), time.monotonic()
        last, since = self._seen.setdefault(trial.number, (beat, now))
        if beat != last:
            self._vouched.add(trial.number)
            self._seen[trial.number] = (beat, now)
            return False
        return now - since > self._silence

    def is_alive(self, trial: FrozenTrial) -> bool:
        """Whether a sign of life of the trial's owner has been seen."""
        return trial.number in self._vouched


def _machine() -> str:
    """Host, boot and process namespace: where the same number is the same process."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        pass  # no Linux
    return " ".join(parts)


def _born(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; None if there is none (a zombie counts as none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self").exists():
            return None
        return _signalled(pid)
    return None if fields[0] == "Z" else fields[19]


def _signalled(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"
