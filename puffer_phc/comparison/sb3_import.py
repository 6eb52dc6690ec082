"""The one place that imports Stable-Baselines3."""

from __future__ import annotations

import contextlib
import importlib
import io
from types import ModuleType

from puffer_phc.errors import InputError


def import_stable_baselines3() -> ModuleType:
    """``stable_baselines3``; the notice of the old gym package, which it imports where there is one, is kept quiet.

    Raises:
        InputError: it is not installed.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return importlib.import_module("stable_baselines3")
    except ImportError:
        remedy = "run: uv sync --extra compare"
        raise InputError("comparison", "Stable-Baselines3 is not installed", remedy) from None
