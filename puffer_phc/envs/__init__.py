"""The motion-tracking environment and the pure functions it is made of."""
