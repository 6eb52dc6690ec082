"""From a motion-capture file to a policy that makes a physically simulated humanoid perform it."""
