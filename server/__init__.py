"""The server: Myrtle's websocket API, live channels on one batched engine, and a client."""
