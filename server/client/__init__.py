"""The client: recordings or the microphone in, growing text out."""
