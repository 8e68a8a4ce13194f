"""Myrtle's training configurations, as they are."""
