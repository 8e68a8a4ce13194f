"""The commands `transcribe` and `mic`: audio in, growing text out, here or by a server."""
