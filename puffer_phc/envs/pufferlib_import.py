"""The one place that imports PufferLib.

Importing pufferlib 3.0.0 makes a symbolic link in the working directory, replaces stdout and stderr for a moment, and
imports gym, which prints a notice. None of that should reach the user's folder or screen.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from types import ModuleType


def import_pufferlib() -> ModuleType:
    """``pufferlib`` with ``pufferlib.vector`` loaded."""
    if "pufferlib" not in sys.modules:
        here = os.getcwd()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            os.chdir(folder)
            try:
                import pufferlib.vector
            finally:
                os.chdir(here)
    import pufferlib.vector

    return pufferlib
