"""Recipes: from a clone to a model with its card, in one command that can be stopped and started again."""
