"""From a motion-capture file to a policy that makes a physically simulated humanoid perform it.

Importing this package puts its environments into Gymnasium's registry, where there is Gymnasium: an exported policy
runs without it.
"""

import os
from importlib import import_module
from importlib.util import find_spec

from puffer_phc.envs.registry import register

if os.environ.get("MUJOCO_GL", "").strip().lower() == "osmesa" and find_spec("triton"):
    # With this set MuJoCo loads OSMesa when it is imported, and with it an LLVM after which loading Triton's crashes
    # the process (torch does when an optimiser is made); the other order is sound. See also viewers/gl.py.
    import_module("triton")

if find_spec("gymnasium"):
    register()
