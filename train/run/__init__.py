"""One training run in its folder: start, resume, report, choose a checkpoint."""
