"""Corpora larger than memory: an index on disk, and batches that are functions of their number."""
