"""The arithmetic of chips: fixed point, integer networks, block floating point."""
