"""A run tried without being begun: its data opened, its largest batch learned, its cost measured."""
