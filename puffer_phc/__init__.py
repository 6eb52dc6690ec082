"""From a motion-capture file to a policy that makes a physically simulated humanoid perform it.

Importing this package puts its environments into Gymnasium's registry.
"""

from puffer_phc.envs.registry import register

register()
