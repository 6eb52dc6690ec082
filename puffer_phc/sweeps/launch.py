"""Start a command that ends when its parent does: ``launch.py PARENT_PID COMMAND...``.

Killed outright, a sweep cannot stop its runs, and a run nobody waits for would take the processor from those that
replace it. This is a script, not an import, so that it costs a run no more than the interpreter's start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>; survives exec


def main() -> None:
    """Ask the kernel for a signal on the parent's death, then become the command. Only Linux can do the former."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request
            sys.exit(128 + signal.SIGKILL)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
