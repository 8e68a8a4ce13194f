"""Subcommands of `python -m train.data`, one file each: `add_arguments` and `run`."""
