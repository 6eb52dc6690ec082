#!/usr/bin/env python3
"""Compare our PPO with Stable-Baselines3: uv run --extra compare scripts/compare_algorithms.py --help."""

import sys

import tyro

from puffer_phc.cli import guarded
from puffer_phc.comparison.runner import run
from puffer_phc.comparison.study import StudyConfig

if __name__ == "__main__":
    study = tyro.cli(StudyConfig)
    sys.exit(guarded(lambda console: run(study, console)))
