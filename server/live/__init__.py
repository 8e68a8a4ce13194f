"""Live streams: one connection, one protocol, one channel."""
