"""Adapters: what messages mean in each protocol, one file per protocol, without I/O."""
