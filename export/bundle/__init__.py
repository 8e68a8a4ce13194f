"""Bundles: a model directory checked whole, and as one archive whose bytes follow from its content."""
