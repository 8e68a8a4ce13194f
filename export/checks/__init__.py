"""Checks of what an export wrote: weights, outputs, words; and a network traced on recordings."""
