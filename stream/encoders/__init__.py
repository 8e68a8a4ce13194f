"""Encoder families: one file each."""
