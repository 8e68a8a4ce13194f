"""What depends on how far a run is: when it validates, saves and ends, and its learning rate."""
