"""Many channels, one batched step."""
