"""The checkpoints of a run: to resume from, to choose from, to average."""
