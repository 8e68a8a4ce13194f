"""Sorted records on disk: sorts and joins of more than fits in memory."""
