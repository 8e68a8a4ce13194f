"""Adapters: what messages mean in each protocol, one file a protocol, without I/O."""
