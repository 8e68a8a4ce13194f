"""On what a run computes: its device, its precision, and the processes that share it."""
