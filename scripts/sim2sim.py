#!/usr/bin/env python3
"""Run an exported policy in plain MuJoCo: ``scripts/sim2sim.py FOLDER [--video OUT.mp4]``; see --help."""

import sys

from puffer_phc.deployment.sim2sim import main

if __name__ == "__main__":
    sys.exit(main())
