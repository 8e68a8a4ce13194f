"""The server: live streams and uploads in several protocols, on one batched engine; and clients."""
