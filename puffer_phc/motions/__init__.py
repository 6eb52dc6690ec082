"""Motion clips: reading, writing, checking, making, and looking them up on the device."""
