"""What every stream protocol shares, without I/O: states, audio on its way in, transcripts."""
