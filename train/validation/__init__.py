"""Validation during a run: WER on dev, the losses of its references, and emission latency."""
