"""Scenarios: what rooms, levels and telephones cost a model, row by row."""
