"""The arithmetic of chips: fixed point and integer networks."""
