#!/usr/bin/env python3
"""Print how fast physics, environment, rollout and training run on this machine, and the ratios between them.

Takes the options of ``train.py`` and ``--rounds N``; for example ``scripts/benchmark.py --device cpu``.
"""

import sys

from puffer_phc.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
