"""Samples to normalised frames, in float and in fixed point."""
