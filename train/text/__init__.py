"""Transcripts as a model learns them and as a score compares them (NUMERICS 7)."""
