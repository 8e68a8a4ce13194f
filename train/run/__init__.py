"""One training run: its material, its start, its updates and its checkpoints."""
