"""What augmentation does to a clip beyond level, speed and rooms, one effect per file."""
