"""The neutral model between all formats: its specification, its arrays, its directory."""
