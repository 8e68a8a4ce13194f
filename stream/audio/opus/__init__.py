"""Opus as it comes over a network, piece by piece: its packets, bare or in Ogg or WebM, to samples."""
