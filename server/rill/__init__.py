"""The command `rill`: its subcommands, their completion in shells, and what runs on this machine."""
