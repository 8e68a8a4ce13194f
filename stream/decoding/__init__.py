"""From encoder frames to tokens."""
