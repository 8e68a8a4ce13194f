"""What a training learns from: recordings in memory, augmented, joined and batched."""
