"""Transcripts: what a stream said, put together as text, timed words and segments, and files of it."""
