"""What all stream protocols share, without I/O: states, audio on its way in, transcripts, hotwords."""
