#!/usr/bin/env python3
"""Print how fast physics, environment, rollout and training run on this machine, and the ratios between them.

Takes the options of ``train.py``, ``--rounds N`` and ``--against OPTION=VALUE ...``, which measures a second set of
options in turn with the first; for example ``scripts/benchmark.py --device cpu --against env.use_amp_obs=true``.
"""

import sys

from puffer_phc.benchmark_cli import main

if __name__ == "__main__":
    sys.exit(main())
