"""Formats of training data, one file each: lazy readers of common records, and writers."""
