"""Warp kernels for the tests. Warp reads a kernel's source from its file, so they cannot be made inside a test."""

import warp as wp


@wp.kernel
def increment(values: wp.array(dtype=float)):
    """Add one to every element."""
    index = wp.tid()
    values[index] = values[index] + 1.0
