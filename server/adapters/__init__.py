"""Adapters: the protocols of other servers, each a file of meaning without I/O."""
