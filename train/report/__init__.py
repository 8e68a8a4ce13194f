"""What a run shows while it trains: its journal, its display, its curves."""
