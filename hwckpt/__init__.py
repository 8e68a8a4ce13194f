"""hwckpt: hardware checkpoints, the files for Myrtle's card: read, written, converted."""
