#!/usr/bin/env python3
"""Train, play or evaluate: ``scripts/train.py --env.motion_file FILE [--mode train|play|eval]``; see ``--help``."""

import sys

from puffer_phc.cli import main

if __name__ == "__main__":
    sys.exit(main())
